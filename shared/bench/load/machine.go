package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// syncs is how many writes the disk is judged by.
const syncs = 100

// A machine says where and when figures were taken.
type machine struct {
	date, cores, kernel, load string
	built, disk               string
}

// describe describes the machine before anything of this command loads it.
func describe(ctx context.Context) *machine {
	m := &machine{date: time.Now().UTC().Format(time.DateTime + " UTC"), load: "unknown", kernel: runtime.GOOS}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	if text, err := exec.CommandContext(ctx, "uname", "-sr").Output(); err == nil {
		m.kernel = string(bytes.TrimSpace(text))
	}
	m.cores = fmt.Sprintf("%d cores", runtime.NumCPU())
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(text), "model name")
		model, _, _ := strings.Cut(strings.TrimLeft(rest, "\t :"), "\n")
		m.cores += " " + cmp.Or(model, runtime.GOARCH)
	}
	return m
}

// add adds of what the runner was built, and how fast the disk below b.scratch
// syncs.
func (m *machine) add(b *bench) error {
	info, err := buildinfo.ReadFile(b.binary)
	if err != nil {
		return err
	}
	m.built = info.GoVersion
	if text, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.built += ", commit " + string(bytes.TrimSpace(text))
	}
	m.disk, err = diskOf(b.scratch)
	return err
}

// diskOf writes to a file and waits for the disk, again and again.
func diskOf(dir string) (string, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	took := make([]time.Duration, syncs)
	for i := range took {
		start := time.Now()
		if _, err := f.Write(make([]byte, 8<<10)); err != nil {
			return "", err
		}
		if err := f.Sync(); err != nil {
			return "", err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return fmt.Sprintf("%s, 8 KiB synced in %s ms (p50), %s ms (p99)", fileSystem(dir), number(percentile(took, 50)), number(percentile(took, 99))), nil
}

// Magic numbers of statfs(2).
const (
	tmpfs   = 0x01021994
	ext4    = 0xef53
	xfs     = 0x58465342
	btrfs   = 0x9123683e
	overlay = 0x794c7630
)

func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "a disk"
	}
	switch uint32(s.Type) {
	case tmpfs:
		return "tmpfs (memory: NOTHING here is durable; see -dir)"
	case ext4:
		return "ext4"
	case xfs:
		return "xfs"
	case btrfs:
		return "btrfs"
	case overlay:
		return "overlay"
	}
	return fmt.Sprintf("file system %#x", s.Type)
}

func (m *machine) String() string {
	return fmt.Sprintf("%s; %s; %s; load before the start %s\nrunner: %s; synchronous=FULL on %s\n", m.date, m.cores, m.kernel, m.load, m.built, m.disk)
}
