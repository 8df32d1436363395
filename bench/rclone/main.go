// Command rclone is rclone with the two backends and the commands that bench/ compares with: a build
// of all of it takes ten times as long. It has a module of its own, so that proa depends on none of it.
package main

import (
	_ "github.com/rclone/rclone/backend/azureblob"
	_ "github.com/rclone/rclone/backend/s3"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/bisync"
	_ "github.com/rclone/rclone/cmd/size"
	_ "github.com/rclone/rclone/cmd/version"
)

func main() { cmd.Main() }
