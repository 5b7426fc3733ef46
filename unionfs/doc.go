// SPDX-License-Identifier: Apache-2.0

// Package unionfs makes one root file system of many layers.
//
// A layer is a tar archive of what one step of an image's making changed. Package layer unpacks such archives into folders
// and makes them of folders; [Layers] keeps the folders, one for each chain ID, shared between images; and a [Driver] puts
// folders on top of each other and a writable one on top of all, for a container.
package unionfs
