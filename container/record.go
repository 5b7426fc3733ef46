// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"time"

	"stave/cgroups"
	"stave/chroot"
)

// decodeRecord reads what is kept of a container, in the two ways of decode.
func decodeRecord(data []byte) (r record, err error) {
	if readUsual(data, readRecord(&r)) {
		return r, nil
	}
	r = record{}
	err = json.Unmarshal(data, &r)
	return r, err
}

// readRecord reads what is kept of a container.
func readRecord(r *record) reading {
	return readObject(
		member{"ociVersion", readText(&r.Version)},
		member{"id", readText(&r.ID)},
		member{"bundle", readText(&r.Bundle)},
		member{"rootfs", readText(&r.Rootfs)},
		member{"created", readTime(&r.Created)},
		member{"uid", readNumber(&r.UID)},
		member{"annotations", readTable(&r.Annotations, readText)},
		member{"hooked", readFlag(&r.Hooked)},
		member{"cgroup", readGroup(&r.Cgroup)},
		member{"unit", readUnit(&r.Unit)},
		member{"rdt", readList(&r.Rdt, readText)},
		member{"streams", readList(&r.Streams, readText)},
		member{"hostRoot", readHostRoot(&r.HostRoot)},
		member{"rest", readList(&r.Rest, readText)},
	)
}

// readGroup reads a cgroup.
func readGroup(g *cgroups.Group) reading {
	return readObject(member{"Folders", readList(&g.Folders, readFolder)})
}

// readFolder reads a cgroup's folder in one hierarchy.
func readFolder(f *cgroups.Folder) reading {
	return readObject(
		member{"Version", readNumber(&f.Version)},
		member{"Controllers", readList(&f.Controllers, readText)},
		member{"Top", readText(&f.Top)},
		member{"Sole", readFlag(&f.Sole)},
		member{"Path", readText(&f.Path)},
		member{"New", readList(&f.New, readText)},
	)
}

// readUnit reads a unit of systemd.
func readUnit(u *cgroups.Unit) reading {
	return readObject(member{"Name", readText(&u.Name)}, member{"Slice", readText(&u.Slice)}, member{"User", readFlag(&u.User)})
}

// readHostRoot reads the root of a container without a mount namespace.
func readHostRoot(h *chroot.HostRoot) reading {
	return readObject(member{"Path", readText(&h.Path)}, member{"Below", readNumber(&h.Below)})
}

// readTime reads a time.
func readTime(to *time.Time) reading {
	return func(r *reader) {
		r.odd = to.UnmarshalText([]byte(r.string())) != nil || r.odd
	}
}

// encode returns the record as JSON.
func (r record) encode() []byte {
	w := &writer{}
	w.object(func() {
		w.member("ociVersion").text(r.Version)
		w.member("id").text(r.ID)
		w.member("bundle").text(r.Bundle)
		w.member("rootfs").text(r.Rootfs)
		w.member("created").text(r.Created.Format(time.RFC3339Nano))
		w.member("uid").number(r.UID)
		w.member("annotations").table(r.Annotations)
		w.member("hooked").flag(r.Hooked)
		w.member("cgroup").group(r.Cgroup)
		w.member("unit").unit(r.Unit)
		w.member("rdt").texts(r.Rdt)
		w.member("streams").texts(r.Streams)
		w.member("hostRoot").hostRoot(r.HostRoot)
		w.member("rest").texts(r.Rest)
	})
	return w.out
}

// group writes a cgroup.
func (w *writer) group(g cgroups.Group) {
	w.object(func() {
		w.member("Folders").list(len(g.Folders), func(i int) { w.folder(g.Folders[i]) })
	})
}

// folder writes a cgroup's folder in one hierarchy.
func (w *writer) folder(f cgroups.Folder) {
	w.object(func() {
		w.member("Version").number(f.Version)
		w.member("Controllers").texts(f.Controllers)
		w.member("Top").text(f.Top)
		w.member("Sole").flag(f.Sole)
		w.member("Path").text(f.Path)
		w.member("New").texts(f.New)
	})
}

// hostRoot writes the root of a container without a mount namespace.
func (w *writer) hostRoot(h chroot.HostRoot) {
	w.object(func() {
		w.member("Path").text(h.Path)
		w.member("Below").number(h.Below)
	})
}

// unit writes a unit of systemd.
func (w *writer) unit(u cgroups.Unit) {
	w.object(func() {
		w.member("Name").text(u.Name)
		w.member("Slice").text(u.Slice)
		w.member("User").flag(u.User)
	})
}
