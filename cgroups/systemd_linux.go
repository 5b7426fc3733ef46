// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// busPatience is how long one conversation with systemd may take.
const busPatience = 30 * time.Second

// bus is a connection to the D-Bus on which a systemd is asked, for one conversation.
type bus struct {
	conn    *dbus.Conn
	ctx     context.Context
	cancel  context.CancelFunc
	unit    Unit
	removed chan *dbus.Signal
}

// address is where the bus of the unit's systemd listens (D-Bus specification, "Well-known Message Bus Instances").
func (u Unit) address() (string, error) {
	if !u.User {
		if a := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"); a != "" {
			return a, nil
		}
		return "unix:path=/run/dbus/system_bus_socket", nil
	}
	if a := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" {
		return a, nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return "unix:path=" + dbus.EscapeBusAddressValue(dir+"/bus"), nil
	}
	return "", errors.New("neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR says where the user's systemd listens: log in as that user (su and sudo are no logins), or leave out --systemd-cgroup")
}

// dial connects to the bus.
func (u Unit) dial(patience time.Duration) (*bus, error) {
	address, err := u.address()
	if err != nil {
		return nil, err
	}
	b := &bus{unit: u, removed: make(chan *dbus.Signal, 1)}
	b.ctx, b.cancel = context.WithTimeout(context.Background(), patience)
	options := []dbus.ConnOption{dbus.WithContext(b.ctx), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler())}
	if b.conn, err = dbus.Connect(address, options...); err != nil {
		defer b.cancel()
		return nil, fmt.Errorf("connect to systemd's bus at %s: %w: start systemd with D-Bus (package dbus), or leave out --systemd-cgroup", address, b.cause(err))
	}
	return b, nil
}

// watch asks for the signals that tell that a job for the unit is over. It comes before any job, whose end may be told
// before its number is.
func (b *bus) watch() error {
	b.conn.Signal(b.removed)
	err := b.conn.AddMatchSignal(dbus.WithMatchSender(systemdName), dbus.WithMatchObjectPath(systemdPath),
		dbus.WithMatchInterface(systemdInterface), dbus.WithMatchMember("JobRemoved"), dbus.WithMatchArg(2, b.unit.Name))
	if err == nil {
		err = b.call("Subscribe")
	}
	return b.cause(err)
}

// close ends the conversation.
func (b *bus) close() {
	b.conn.Close()
	b.cancel()
}

// cause explains an error of the conversation.
func (b *bus) cause(err error) error {
	switch {
	case errors.Is(b.ctx.Err(), context.DeadlineExceeded):
		return errors.New("systemd has not answered in time: see systemctl list-jobs")
	case is(err, "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner"):
		return fmt.Errorf("%w: nobody on this bus is systemd: leave out --systemd-cgroup", err)
	case is(err, "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"):
		return fmt.Errorf("%w: only root may ask the machine's systemd", err)
	}
	return err
}

// is tells whether an error came over the bus with one of the names.
func is(err error, names ...string) bool {
	answer, ok := errors.AsType[dbus.Error](err)
	return ok && slices.Contains(names, answer.Name)
}

// call calls a method of systemd's manager that returns nothing.
func (b *bus) call(method string, args ...any) error {
	return b.ask(method, args...).Store()
}

// ask calls a method and waits for the answer.
func (b *bus) ask(method string, args ...any) *dbus.Call {
	return b.conn.Object(systemdName, systemdPath).Call(systemdInterface+"."+method, dbus.FlagNoAutoStart, args...)
}

// job calls a method that starts a job, and waits until the job is over:
//
//	JobRemoved(u id, o job, s unit, s result)
func (b *bus) job(method string, args ...any) error {
	var job dbus.ObjectPath
	if err := b.ask(method, args...).Store(&job); err != nil {
		return err
	}
	for signal := range b.removed {
		if len(signal.Body) != 4 || signal.Body[1] != job {
			continue
		}
		if result := signal.Body[3]; result != "done" {
			return fmt.Errorf("systemd's job ended with the result %q: see systemctl status %s", result, b.unit.Name)
		}
		return nil
	}
	return errors.New("the bus went away before systemd's job was over")
}

// Do starts the unit, and returns when systemd has moved the container's process into its cgroup. If that does not end
// in time, the unit may come to be later; it goes away with the process.
func (s Scope) Do(h *kernel.Host) error { return s.start(h.Pid(), busPatience) }

// Undo stops the unit.
func (s Scope) Undo(*kernel.Host) error { return s.Unit.Stop() }

// start starts the unit around a process.
func (s Scope) start(pid int, patience time.Duration) error {
	b, err := s.Unit.dial(patience)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.watch(); err != nil {
		return err
	}
	list := s.properties()
	if !s.Unit.slice() {
		list = append(list, Property{"PIDs", []uint32{uint32(pid)}})
	}
	// The last argument is a list of further units, which systemd does not use yet: a(sa(sv)).
	args := []any{s.Unit.Name, "replace", variants(list), []struct {
		Name       string
		Properties []variant
	}{}}
	err = b.job("StartTransientUnit", args...)
	if is(err, systemdName+".UnitExists") && b.call("ResetFailedUnit", s.Unit.Name) == nil {
		err = b.job("StartTransientUnit", args...) // it was one that had failed and that nobody had looked at
	}
	if is(err, systemdName+".UnitExists") {
		return fmt.Errorf("%w: name another cgroupsPath, or end it with systemctl stop %s", err, s.Unit.Name)
	}
	if err != nil {
		err = b.cause(err)
		b.call("ResetFailedUnit", s.Unit.Name) // so that systemd forgets it; it may know nothing of it
		return err
	}
	for _, file := range s.Enter {
		if err := kernel.Store(file, strconv.Itoa(pid)); err != nil {
			return errors.Join(err, s.Unit.Stop())
		}
	}
	return nil
}

// Stop kills what still runs in the unit, stops it, and waits until systemd has removed its cgroup. A unit that is not
// there is no error. A slice without a cgroup is remembered by systemd until it reloads its configuration.
func (u Unit) Stop() error {
	b, err := u.dial(busPatience)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.watch(); err != nil {
		return err
	}
	b.call("KillUnit", u.Name, "all", int32(unix.SIGKILL)) // there may be nothing to kill, which is an error there
	err = b.job("StopUnit", u.Name, "replace")
	if err == nil || is(err, systemdName+".NoSuchUnit") {
		err = b.call("ResetFailedUnit", u.Name) // a killed scope counts as failed, and stays
	}
	if err == nil || is(err, systemdName+".NoSuchUnit") {
		return nil
	}
	return fmt.Errorf("stop %s: %w", u.Name, b.cause(err))
}

// Update tells systemd of changed limits of a running unit with the cgroup g. It comes before [Group.Update], which
// writes the exact values: systemd has whole percents of a processor only.
func (u Unit) Update(g Group, r *specs.LinuxResources) error {
	now, err := g.Values()
	if err != nil {
		return err
	}
	list, err := g.properties(r, now)
	if err != nil || len(list) == 0 {
		return err
	}
	b, err := u.dial(busPatience)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.call("SetUnitProperties", u.Name, true, variants(list)); err != nil { // true: until the next boot
		return fmt.Errorf("set the limits of %s: %w", u.Name, b.cause(err))
	}
	return nil
}

// Home is the cgroup of the unit's systemd: "" for the machine's, and for a user's one such as
// /user.slice/user-1000.slice/user@1000.service, which is delegated to that user.
func (u Unit) Home() (string, error) {
	b, err := u.dial(busPatience)
	if err != nil {
		return "", err
	}
	defer b.close()
	var home dbus.Variant
	call := b.conn.Object(systemdName, systemdPath).Call("org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, systemdInterface, "ControlGroup")
	if err := call.Store(&home); err != nil {
		return "", fmt.Errorf("ask systemd for its cgroup: %w", b.cause(err))
	}
	text, ok := home.Value().(string)
	if !ok {
		return "", fmt.Errorf("ask systemd for its cgroup: %v is no path", home)
	}
	return text, nil
}

// variant is a property on the bus: (sv).
type variant struct {
	Name  string
	Value dbus.Variant
}

// variants turns properties into what goes over the bus.
func variants(list []Property) []variant {
	sent := make([]variant, 0, len(list))
	for _, p := range list {
		sent = append(sent, variant{p.Name, dbus.MakeVariant(p.Value)})
	}
	return sent
}
