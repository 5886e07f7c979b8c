// Package arch holds no code: its test is the import map of the project, which internal package may import which.
package arch
