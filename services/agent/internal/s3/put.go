package s3

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Put implements objstore.Store. S3 verifies the body's checksum before the
// object appears; nothing here looks at the bytes.
func (s *Store) Put(ctx context.Context, key string, body objstore.Body) error {
	return fail(ctx, s.put(ctx, key, body), "put %q", key)
}

func (s *Store) put(ctx context.Context, key string, body objstore.Body) error {
	var size int64
	for _, part := range body.Parts {
		size += int64(len(part))
	}
	if size != body.Size {
		return fmt.Errorf("body has %d bytes, where %d were announced", size, body.Size)
	}
	again := false
	err := s.puts.do(ctx, size, func(ctx context.Context) error {
		err := s.putOnce(ctx, key, body)
		if again && exists(err) {
			return s.landed(ctx, key, body)
		}
		again = true
		return err
	})
	if exists(err) {
		return objstore.ErrExists
	}
	return err
}

func (s *Store) putOnce(ctx context.Context, key string, body objstore.Body) error {
	_, err := s.client.PutObject(ctx, &sdk.PutObjectInput{
		Bucket: &s.bucket, Key: s.name(key), Body: &bodyReader{body: body}, ContentLength: &body.Size,
		ChecksumCRC32C: aws.String(checksum(body.CRC32C)), IfNoneMatch: aws.String("*"),
	})
	return err
}

// checksum writes a CRC as S3 does.
func checksum(crc uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}

// landed finds out whose object is in the way of a retry. With our length and
// checksum it is ours: the attempt before had its effect, and only its answer
// was lost.
func (s *Store) landed(ctx context.Context, key string, body objstore.Body) error {
	head, err := s.client.HeadObject(ctx, &sdk.HeadObjectInput{
		Bucket: &s.bucket, Key: s.name(key), ChecksumMode: types.ChecksumModeEnabled,
	})
	switch {
	case err != nil:
		return fmt.Errorf("look at what an attempt before may have written: %w", err)
	case aws.ToInt64(head.ContentLength) != body.Size:
		return objstore.ErrExists
	case head.ChecksumCRC32C == nil:
		return errors.New("an object is there, and S3 does not tell its checksum")
	case *head.ChecksumCRC32C != checksum(body.CRC32C):
		return objstore.ErrExists
	}
	return nil
}
