package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// residentBytes reads a process's resident set from /proc; 0 when it has gone.
func residentBytes(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// groupMembers lists the other processes of the process group that pid leads.
func groupMembers(pid int) []int {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var members []int
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// pid (name) state ppid pgrp …; the name may hold anything, so count from its end.
		fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
		member, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if len(fields) > 2 && string(fields[2]) == strconv.Itoa(pid) && member != pid {
			members = append(members, member)
		}
	}
	return members
}
