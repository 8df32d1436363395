package guest

import (
	"io"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes has nothing to say on macOS: it has no parent-death signal. See README.md.
func attributes() *syscall.SysProcAttr { return nil }

// lifeline gives the child a standard input that ends when the parent does, however it ends.
func lifeline(cmd *exec.Cmd) (io.Closer, error) { return cmd.StdinPipe() }

func descendants(pid int) []int {
	processes, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil
	}
	parents := make(map[int]int, len(processes))
	for i := range processes {
		parents[int(processes[i].Proc.P_pid)] = int(processes[i].Eproc.Ppid)
	}
	return descend(pid, parents)
}
