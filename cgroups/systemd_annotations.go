// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// annotationPrefix is before the name of a unit's property in a container's annotations, as runc and crun have it.
const annotationPrefix = "org.systemd.property."

// AnnotationPrefix is the prefix of the annotations that change what [Scope] asks for.
func AnnotationPrefix() string { return annotationPrefix }

// AnnotatedProperties reads the properties of a unit from annotations such as org.systemd.property.CollectMode. The values
// are in the text form of GVariant: 'inactive-or-failed', true, uint64 5. A time in seconds, whose name ends in Sec, becomes
// one in microseconds (TimeoutStopSec: TimeoutStopUSec), which is the only form on the bus.
func AnnotatedProperties(annotations map[string]string) ([]Property, error) {
	var list []Property
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, annotationPrefix)
		if !ok {
			continue
		}
		const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		if len(name) < 3 || strings.Trim(name, letters) != "" {
			return nil, fmt.Errorf("annotation %s: %q is no name of a property", key, name)
		}
		variant, err := dbus.ParseVariant(annotations[key], dbus.Signature{})
		if err != nil {
			return nil, fmt.Errorf("annotation %s: the value %q is not in the text form of GVariant ('text', true, uint64 5): %w", key, annotations[key], err)
		}
		p := Property{name, variant.Value()}
		if before, seconds := strings.CutSuffix(name, "Sec"); seconds && before != "" && !strings.HasSuffix(before, "U") {
			if p, err = inMicroseconds(before, p.Value); err != nil {
				return nil, fmt.Errorf("annotation %s: %w", key, err)
			}
		}
		list = append(list, p)
	}
	return list, nil
}

// inMicroseconds turns a time in seconds into the property that the bus has for it.
func inMicroseconds(name string, value any) (Property, error) {
	const million = 1_000_000
	var seconds float64
	switch v := value.(type) {
	case byte:
		seconds = float64(v)
	case int16:
		seconds = float64(v)
	case uint16:
		seconds = float64(v)
	case int32:
		seconds = float64(v)
	case uint32:
		seconds = float64(v)
	case int64:
		seconds = float64(v)
	case uint64:
		seconds = float64(v)
	case float64:
		seconds = v
	default:
		return Property{}, fmt.Errorf("%v is no number of seconds", value)
	}
	if !(seconds >= 0 && seconds < 1<<43) {
		return Property{}, fmt.Errorf("%v is no number of seconds", value)
	}
	return Property{name + "USec", uint64(seconds * million)}, nil
}
