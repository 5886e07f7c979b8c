// Package frame holds what a capture source hands to the decoder: one captured frame and its link type.
//
// A leaf of plain values, so that the ring, the capture-file reader and the decoder need not know each other.
package frame
