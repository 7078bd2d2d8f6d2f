package s3

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// AbortUploads aborts the multipart uploads under the store's prefix that are
// older than age, and returns how many. The store starts none; those of other
// tools that were never completed cost money and are in no list of objects.
func (s *Store) AbortUploads(ctx context.Context, age time.Duration) (aborted int, err error) {
	before := time.Now().Add(-age)
	in := &sdk.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: s.listPrefix("")}
	for {
		var page *sdk.ListMultipartUploadsOutput
		err := s.lists.do(ctx, 0, func(ctx context.Context) (err error) {
			page, err = s.client.ListMultipartUploads(ctx, in)
			return err
		})
		if err != nil {
			return aborted, fail(ctx, err, "list multipart uploads")
		}
		for _, u := range page.Uploads {
			if u.Initiated == nil || !u.Initiated.Before(before) {
				continue
			}
			if err := s.abort(ctx, u.Key, u.UploadId); err != nil {
				return aborted, fail(ctx, err, "abort the multipart upload of %q", aws.ToString(u.Key))
			}
			aborted++
		}
		if !aws.ToBool(page.IsTruncated) {
			return aborted, nil
		}
		in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
}

func (s *Store) abort(ctx context.Context, name, upload *string) error {
	err := s.deletes.do(ctx, 0, func(ctx context.Context) error {
		_, err := s.client.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{Bucket: &s.bucket, Key: name, UploadId: upload})
		return err
	})
	if code(err) == "NoSuchUpload" { // completed or aborted meanwhile
		return nil
	}
	return err
}
