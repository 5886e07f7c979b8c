// Package journal keeps flow batches from the moment a sensor may forget them until the database has them: NATS
// JetStream, in this process or a cluster, by one code path.
//
// The collector's assembly calls Open, then makes an Appender (role ingest), a Reader (role write) or both, and calls
// Close last. All exported methods are safe for concurrent use; Run of each is called once and ends by its context or by
// Drain.
//
// # In
//
// Appender.Append takes a batch without waiting and puts it into the group of its shard. A group of GroupBytes octets, or
// one that is GroupAge old, becomes one message of the subject flows.<shard> and is durable when JetStream acknowledges
// it: the embedded server syncs each message to disk before that, a cluster has it on most of its replicas. Only then
// Done is called for each batch of the group, which is where an acknowledgement to the sensor belongs. A journal that is
// full, or away, makes Append refuse: back-pressure.
//
// # Out
//
// Each shard has one active writer at a time, the holder of a lease in JetStream's key-value store. It reads the shard's
// messages in their order, hands every batch on that the checkpoint does not know, and once the database has all rows of
// a message and of all before it, the checkpoint is stored, then the messages acknowledged. The checkpoint is a floor and
// a bitmap of sequence numbers for each (sensor, boot): this is the one place that decides exactly once. Storing it needs
// the revision that the writer knows, so a writer that lost its lease unawares can store none and acknowledges nothing.
// What is written again after a crash between rows and checkpoint are the same points.
//
// # Windows
//
// A Reader with a Gatherer holds the messages of a window of journal time back until what was made of them is stored as
// well: rows accepted, checkpoint, acknowledgements. Where a window ends stands in the checkpoint before any of its rows
// is written, so after a crash the same batches stand in the same windows and make the same rows, whatever had ended
// them: a message of a later time, the clock, the end of the process.
//
// # Order
//
// A checkpoint is what the stream said up to one position, never more: the sender's floor in a batch speaks of batches
// that stand before it in the stream, and may be believed only once those are stored. For the same reason a gap in the
// order of delivery ends a session and begins a new one at the first message that is left.
//
// # Memory of sensors
//
// A checkpoint is one message of JetStream and grows with the sensors of its shard, some hundred octets each. One that was
// not heard for 90 days is forgotten. The number of shards stands in the bucket: when it is another one in the
// configuration, and nothing waits, each sensor's part goes to the checkpoint of its new shard; while messages wait the
// journal is not used.
package journal
