package dns

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// trim gives the pages of the program's own file back to the system. Starting touches most of them, since
// every package of the program has its say then, and serving touches few: those come back from the
// page cache when they are needed. On anything unexpected it does nothing.
func trim() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line) // from-to permissions offset device inode path
		if len(fields) != 6 || fields[5] != program || strings.Contains(fields[1], "w") {
			continue // what can be written holds state
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || end <= start {
			continue
		}
		// Pages of a file that nobody wrote to are read again from it (madvise(2), MADV_DONTNEED).
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, uintptr(start), uintptr(end-start),
			syscall.MADV_DONTNEED)
	}
}
