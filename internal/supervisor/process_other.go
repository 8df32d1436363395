//go:build !linux

package supervisor

import (
	"bytes"
	"os/exec"
	"strconv"
)

// residentBytes asks ps for a process's resident set; 0 when it has gone.
func residentBytes(pid int) int64 {
	out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0
	}
	kib, err := strconv.ParseInt(string(bytes.TrimSpace(out)), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// groupMembers lists the other processes of the process group that pid leads.
func groupMembers(pid int) []int {
	out, err := exec.Command("ps", "-o", "pid=", "-g", strconv.Itoa(pid)).Output()
	if err != nil {
		return nil
	}
	var members []int
	for _, field := range bytes.Fields(out) {
		if member, err := strconv.Atoi(string(field)); err == nil && member != pid {
			members = append(members, member)
		}
	}
	return members
}
