package flow

// Row is one point of a measurement that is not a single record: what the roll-ups make, and whatever else goes to the
// database beside them. It is plain; the stage that makes it decides on its identity, which is measurement, tags and time.
type Row struct {
	Measurement string
	// Tags ascend by key. One without a value is left out.
	Tags []Tag
	// Fields are at least one. A text without content is left out.
	Fields []Field
	// Time is ns since the Unix epoch.
	Time int64
}

// Tag is a key and its value. A value may hold anything: what line protocol cannot is replaced on the way there.
type Tag struct {
	Key, Value string
}

// Field is a key with a value of one of the three kinds. Int, Float and Text make them.
type Field struct {
	Key   string
	Kind  FieldKind
	Int   int64
	Float float64
	Text  string
}

// FieldKind says which of a Field's values holds.
type FieldKind uint8

// The kinds. The zero value is invalid.
const (
	_ FieldKind = iota
	IntField
	FloatField
	TextField
)

// Int is a field with a whole number.
func Int(key string, v int64) Field { return Field{Key: key, Kind: IntField, Int: v} }

// Float is a field with a floating-point number, which must be finite.
func Float(key string, v float64) Field { return Field{Key: key, Kind: FloatField, Float: v} }

// Text is a field with a text.
func Text(key, v string) Field { return Field{Key: key, Kind: TextField, Text: v} }
