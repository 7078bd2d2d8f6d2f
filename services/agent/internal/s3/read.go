package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Get implements objstore.Store. An answer that breaks off in the middle is
// asked for again.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	content, err := s.get(ctx, key, offset, length)
	switch {
	case missing(err):
		err = objstore.ErrNotFound
	case status(err) == http.StatusRequestedRangeNotSatisfiable:
		err = objstore.ErrRange
	}
	return content, fail(ctx, err, "get %q, %d bytes from %d", key, length, offset)
}

func (s *Store) get(ctx context.Context, key string, offset, length int64) (content []byte, err error) {
	if offset < 0 || length < -1 || length > math.MaxInt64-offset {
		return nil, objstore.ErrRange
	}
	err = s.gets.do(ctx, max(length, 0), func(ctx context.Context) error {
		if length == 0 { // no range of HTTP is empty
			return s.inside(ctx, key, offset)
		}
		content, err = s.getOnce(ctx, key, offset, length)
		return err
	})
	if err != nil {
		return nil, err
	}
	return content, nil
}

func (s *Store) getOnce(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	in := &sdk.GetObjectInput{Bucket: &s.bucket, Key: s.name(key)}
	switch {
	case length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := s.client.GetObject(ctx, in)
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	switch {
	case in.Range != nil && out.ContentRange == nil:
		return nil, errors.New("the answer is the whole object instead of the range")
	case length > 0 && size < length:
		return nil, objstore.ErrRange // S3 cuts a range at the end of the object
	case size < 0 || length > 0 && size > length:
		return nil, fmt.Errorf("the answer has %d bytes", size)
	}
	content := make([]byte, size)
	if _, err := io.ReadFull(out.Body, content); err != nil {
		return nil, &brokenError{err}
	}
	return content, nil
}

// brokenError is an answer that broke off.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

// RetryableError is asked for by the retryer.
func (e *brokenError) RetryableError() bool { return true }

// inside says whether an object is there and reaches offset.
func (s *Store) inside(ctx context.Context, key string, offset int64) error {
	head, err := s.client.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &s.bucket, Key: s.name(key)})
	if err == nil && offset > aws.ToInt64(head.ContentLength) {
		err = objstore.ErrRange
	}
	return err
}

// List implements objstore.Store. It reads a page of up to 1000 objects at a
// time.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		in := &sdk.ListObjectsV2Input{Bucket: &s.bucket, Prefix: s.listPrefix(prefix)}
		for {
			page, err := s.page(ctx, in)
			if err != nil {
				yield(objstore.Info{}, fail(ctx, err, "list %q", prefix))
				return
			}
			for _, o := range page.Contents {
				key, ours := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
				if !ours || !strings.HasPrefix(key, prefix) || strings.HasPrefix(key, probePrefix) {
					continue
				}
				if !yield(objstore.Info{Key: key, Size: aws.ToInt64(o.Size)}, nil) {
					return
				}
			}
			if in.ContinuationToken = page.NextContinuationToken; in.ContinuationToken == nil {
				return
			}
		}
	}
}

// listPrefix is what S3 is asked for: in a directory bucket a prefix has to
// end in a slash, and what is too much is left out of the page.
func (s *Store) listPrefix(prefix string) *string {
	prefix = s.prefix + prefix
	if s.directory() {
		prefix = prefix[:strings.LastIndexByte(prefix, '/')+1]
	}
	if prefix == "" {
		return nil
	}
	return &prefix
}

func (s *Store) page(ctx context.Context, in *sdk.ListObjectsV2Input) (page *sdk.ListObjectsV2Output, err error) {
	err = s.lists.do(ctx, 0, func(ctx context.Context) error {
		page, err = s.client.ListObjectsV2(ctx, in)
		return err
	})
	if err == nil && aws.ToBool(page.IsTruncated) && page.NextContinuationToken == nil {
		err = errors.New("a page says that there are more, and not how to go on")
	}
	return page, err
}
