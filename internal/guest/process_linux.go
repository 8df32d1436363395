package guest

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// attributes make the kernel kill the child when the thread that forked it ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// lifeline is not needed on Linux: standard input is the null device.
func lifeline(*exec.Cmd) (io.Closer, error) { return nil, nil }

func descendants(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	parents := make(map[int]int, len(entries))
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if parent, ok := parentOf(entry.Name()); ok {
			parents[child] = parent
		}
	}
	return descend(pid, parents)
}

// parentOf reads the fourth field of /proc/<pid>/stat (proc(5)). The second, the command in
// parentheses, may itself hold spaces and parentheses, so fields are counted from its end.
func parentOf(pid string) (int, bool) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return parent, err == nil
}
