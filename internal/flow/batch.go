package flow

// Interface names one interface index of a sensor.
type Interface struct {
	Index uint32
	Name  string
}

// Content says what a batch holds. The numbers stand in the journal: do not reorder, add at the end.
type Content uint8

// The contents. The zero value is what most batches hold.
const (
	Flows             Content = iota // Records
	SensorReadings                   // Readings of a sensor's meters
	CollectorReadings                // Readings of a collector's; its name, behind an '@', stands for the sensor's id
	DNSAnswers                       // Answers
	contents
)

// Valid reports whether c is one of the named contents.
func (c Content) Valid() bool { return c < contents }

// Batch is a group of records, of readings, or of DNS answers, that travels as one from a sensor to the database.
type Batch struct {
	Content Content
	Sensor  string // the sensor's id
	Boot    uint64 // the sensor's start, ns since the Unix epoch
	Seq     uint64 // the batch's identity within the boot
	Floor   uint64 // the lowest Seq the sensor may still send
	// Base is the time base of the points: record i, the i-th group of readings, or answer i, has the point time Base+i,
	// unique within the sensor for ever.
	Base       int64
	Interfaces []Interface
	Records    []Record
	Readings   []Reading
	Answers    []DNSAnswer
	// Attributions say of each record who is client and who serves, at the collector where something was made of them; else
	// there are none. Networks are those that they speak of.
	Attributions []Attribution
	Networks     Networks
	// Received is when the collector got the batch, ns since the Unix epoch; 0 at the sensor.
	Received int64
	// Body is what Records, Readings or Answers was parsed from, as it came on the wire, where it is at hand; else it is empty. Who changes the
	// batch empties it.
	Body []byte
}

// InterfaceName gives the name of the interface with that index, "" when the batch does not name it.
func (b *Batch) InterfaceName(index uint32) string {
	for i := range b.Interfaces {
		if b.Interfaces[i].Index == index {
			return b.Interfaces[i].Name
		}
	}
	return ""
}
