package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// storage is what stands in JetStream.
type storage struct {
	stream jetstream.Stream
	bucket jetstream.KeyValue
}

// prepare sees to it that stream and bucket are there, and divided as configured.
func (j *Journal) prepare(ctx context.Context) error {
	s, err := j.storage(ctx)
	if err == nil {
		err = j.divide(ctx, s)
	}
	if err != nil {
		return err
	}
	if j.store.Swap(s) == nil {
		close(j.ready)
	}
	return nil
}

// storage gives stream and bucket, made where they are not there yet.
func (j *Journal) storage(ctx context.Context) (*storage, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	replicas := j.cfg.Replicas
	if j.server != nil {
		replicas = 1
	}
	cfg := jetstream.StreamConfig{
		Name: streamName, Subjects: []string{subjects}, Description: "flow batches on their way to the database",
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage,
		MaxBytes: j.cfg.MaxSize, Replicas: replicas, Duplicates: duplicates,
	}
	stream, err := j.js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = j.js.CreateStream(ctx, cfg)
	} else if err == nil && j.server != nil && stream.CachedInfo().Config.MaxBytes != cfg.MaxBytes {
		stream, err = j.js.UpdateStream(ctx, cfg)
	}
	if err == nil {
		err = keeps(&stream.CachedInfo().Config)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", streamName, err)
	}
	bucket, err := j.js.KeyValue(ctx, bucketName)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		bucket, err = j.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: bucketName, Description: "checkpoints and leases of the flow writers", Replicas: replicas,
			Storage: jetstream.FileStorage, MaxBytes: bucketSize,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bucketName, err)
	}
	return &storage{stream: stream, bucket: bucket}, nil
}

// keeps refuses a stream that lets go of messages before they are acknowledged, or never: an administrator may have made it, by
// other defaults.
func keeps(c *jetstream.StreamConfig) error {
	var what string
	switch {
	case c.Retention != jetstream.WorkQueuePolicy:
		what = "retention is " + c.Retention.String()
	case c.Discard != jetstream.DiscardNew:
		what = "discard is " + c.Discard.String()
	case c.Storage != jetstream.FileStorage:
		what = "storage is " + c.Storage.String()
	case c.MaxAge > 0:
		what = "max age is " + c.MaxAge.String()
	case c.MaxMsgsPerSubject > 0 && !c.DiscardNewPerSubject:
		what = "max messages per subject is " + strconv.FormatInt(c.MaxMsgsPerSubject, 10)
	default:
		return nil
	}
	return fmt.Errorf("it would not keep what is acknowledged to the sensors until it is stored, for its %s: delete the stream once it is empty, and it is made anew", what)
}
