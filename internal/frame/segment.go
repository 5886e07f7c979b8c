package frame

// Segment is what an IP packet carries: a transport header and what is behind it. Data is borrowed as that of its Frame.
type Segment struct {
	// Data is what was captured of it.
	Data []byte
	// Len is its length in octets by the IP header, at least len(Data).
	Len int
	// Size is the frame's SegmentSize.
	Size uint16
	// Fragment says that the packet is a fragment, so that this is a part, and only in a first one a header in front.
	Fragment bool
}
