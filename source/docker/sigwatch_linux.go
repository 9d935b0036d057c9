package docker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
)

const (
	// ringBytes bounds the signals that wait to be read: 16 bytes each with their header. One that does not fit is dropped, and seen
	// by the engine's event or the next list.
	ringBytes = 1 << 16
	// initialPIDs is the inode of the kernel's first process namespace, include/linux/proc_ns.h. The tracepoint has the numbers that
	// processes have there.
	initialPIDs = 0xEFFFFFFC
)

// signalKernel is the program in the kernel, and its tables.
type signalKernel struct {
	masks   *ebpf.Map
	ring    *ebpf.Map
	program *ebpf.Program
	attach  link.Link
	reader  *ringbuf.Reader
	opened  atomic.Bool
}

func (k *signalKernel) usable() bool { return k.opened.Load() }

// open loads the program, which takes CAP_BPF and CAP_PERFMON, and Linux 5.8 with type information (CONFIG_DEBUG_INFO_BTF).
func (k *signalKernel) open() (err error) {
	if at, err := os.Readlink("/proc/self/ns/pid"); err != nil || at != fmt.Sprintf("pid:[%d]", uint32(initialPIDs)) {
		return errors.New("koine does not run in the host's process namespace")
	}
	_ = rlimit.RemoveMemlock() // needed before Linux 5.11 only; without the right to it, making the table fails
	defer func() {
		if err != nil {
			k.release()
		}
	}()
	if k.masks, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "koine_masks", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: maxSignalled,
	}); err != nil {
		return fmt.Errorf("make a table: %w", err)
	}
	if k.ring, err = ebpf.NewMap(&ebpf.MapSpec{Name: "koine_signals", Type: ebpf.RingBuf, MaxEntries: ringBytes}); err != nil {
		return fmt.Errorf("make a ring buffer: %w", err)
	}
	offset, err := pidOffset()
	if err != nil {
		return err
	}
	if k.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "koine_signal", Type: ebpf.RawTracepoint, License: "GPL", Instructions: signalProgram(k.masks.FD(), k.ring.FD(), offset),
	}); err != nil {
		return fmt.Errorf("load the program: %w", err)
	}
	if k.attach, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "signal_generate", Program: k.program}); err != nil {
		return fmt.Errorf("attach the program: %w", err)
	}
	if k.reader, err = ringbuf.NewReader(k.ring); err != nil {
		return fmt.Errorf("read the ring buffer: %w", err)
	}
	k.opened.Store(true)
	return nil
}

// pidOffset returns the place of a task's pid in the running kernel.
func pidOffset() (int32, error) {
	types, err := btf.LoadKernelSpec()
	if err != nil {
		return 0, fmt.Errorf("types of the kernel: %w", err)
	}
	var task *btf.Struct
	if err := types.TypeByName("task_struct", &task); err != nil {
		return 0, fmt.Errorf("type task_struct: %w", err)
	}
	for _, member := range task.Members {
		if member.Name == "pid" {
			return int32(member.Offset.Bytes()), nil
		}
	}
	return 0, errors.New("the kernel's task_struct has no pid")
}

// signalProgram is, with the tracepoint's arguments sig, info and task:
//
//	pid := task.pid
//	if mask := masks[pid]; mask != nil && *mask&(1<<(sig-1)) != 0 {
//		ring.output({pid, sig})
//	}
func signalProgram(masks, ring int, pidOffset int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R8, asm.R6, 0, asm.DWord),  // sig
		asm.LoadMem(asm.R3, asm.R6, 16, asm.DWord), // task
		asm.Add.Imm(asm.R3, pidOffset),
		asm.Mov.Imm(asm.R7, 0),
		asm.StoreMem(asm.RFP, -8, asm.R7, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.RFP),
		asm.Add.Imm(asm.R1, -8),
		asm.Mov.Imm(asm.R2, 4),
		asm.FnProbeReadKernel.Call(),
		asm.JNE.Imm(asm.R0, 0, "out"),
		asm.LoadMapPtr(asm.R1, masks),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.LoadMem(asm.R7, asm.R0, 0, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R8),
		asm.Sub.Imm(asm.R1, 1),
		asm.And.Imm(asm.R1, 63),
		asm.RSh.Reg(asm.R7, asm.R1),
		asm.And.Imm(asm.R7, 1),
		asm.JEq.Imm(asm.R7, 0, "out"),
		asm.StoreMem(asm.RFP, -4, asm.R8, asm.Word),
		asm.LoadMapPtr(asm.R1, ring),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.Mov.Imm(asm.R3, 8),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnRingbufOutput.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
		asm.Return(),
	}
}

func (k *signalKernel) put(p process) error { return k.masks.Put(p.pid, p.mask) }

func (k *signalKernel) remove(pid uint32) { _ = k.masks.Delete(pid) }

func (k *signalKernel) release() {
	if k.attach != nil {
		_ = k.attach.Close()
	}
	_ = k.program.Close()
	_ = k.ring.Close()
	_ = k.masks.Close()
}

// run hands on signals until ctx ends, and takes the program out of the kernel then.
func (w *signalWatch) run(ctx context.Context, in *inbox) {
	if !w.usable() {
		return
	}
	k := &w.kernel
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = k.reader.Close()
	})
	defer func() {
		if stop() {
			_ = k.reader.Close()
		} else {
			<-closed
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		k.opened.Store(false)
		k.release()
	}()
	var record ringbuf.Record
	for {
		if err := k.reader.ReadInto(&record); err != nil {
			return
		}
		if len(record.RawSample) < 8 {
			continue
		}
		pid, signal := binary.NativeEndian.Uint32(record.RawSample), binary.NativeEndian.Uint32(record.RawSample[4:])
		if id := w.container(pid); id != "" {
			in.signal(id, int(signal), time.Now())
		}
	}
}
