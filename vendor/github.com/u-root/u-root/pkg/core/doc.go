// Copyright 2023 the u-root Authors. All rights reserved
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

// Package core provides an interface and basic funcionalities for the core
// utils implementations.
package core
