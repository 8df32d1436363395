package function

import (
	"fmt"
	"os"

	"github.com/proa-cloud/proa"
)

// Region tells in which region this process runs, from its environment. A process that no platform started is in AWS unless
// PROA_REGION or COSMOS_ENDPOINT says otherwise.
func Region() proa.Region {
	region, err := regionOf(os.Getenv)
	if err != nil {
		return proa.AWS
	}
	return region
}

func regionOf(getenv func(string) string) (proa.Region, error) {
	if name := getenv("PROA_REGION"); name != "" {
		region, err := proa.ParseRegion(name)
		if err != nil {
			return "", fmt.Errorf("PROA_REGION: %w: %w", proa.ErrInvalidConfig, err)
		}
		return region, nil
	}
	switch {
	case getenv("AWS_LAMBDA_RUNTIME_API") != "":
		return proa.AWS, nil
	case getenv("FUNCTIONS_CUSTOMHANDLER_PORT") != "", getenv("COSMOS_ENDPOINT") != "":
		return proa.Azure, nil
	}
	return proa.AWS, nil
}
