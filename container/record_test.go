// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRecord writes what is kept of a container and reads it in both ways. All members are set: so this fails when the
// record gets one that is not written, or not read.
func TestRecord(t *testing.T) {
	full := record{}
	fill(reflect.ValueOf(&full).Elem())
	full.Created = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	odd := full
	odd.Annotations = map[string]string{"": "no name", "b": "2", "a": "\"\\\n\x01\x7fä<>&", "ä": ""}
	for name, want := range map[string]record{"all members": full, "odd strings": odd} {
		t.Run(name, func(t *testing.T) {
			text := want.encode()
			var ours, theirs record
			if !readUsual(text, readRecord(&ours)) {
				t.Errorf("not read as usual: %s", text)
			}
			if err := json.Unmarshal(text, &theirs); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			for reader, got := range map[string]record{"ours": ours, "encoding/json": theirs} {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("read by %s (-want +got):\n%s", reader, diff)
				}
			}
		})
	}
}

// TestRecordOfAnother reads what another version may have written, and what is broken.
func TestRecordOfAnother(t *testing.T) {
	r, err := decodeRecord([]byte(`{"id":"x","cgroup":{"Folders":null},"later":1}`))
	if err != nil || r.ID != "x" {
		t.Errorf("%+v %v", r, err)
	}
	for _, text := range []string{"", "[]", `{"id":"x"`, `{"id":"x","created":"yesterday"}`} {
		if _, err := decodeRecord([]byte(text)); err == nil {
			t.Errorf("%s is read without an error", text)
		}
	}
}
