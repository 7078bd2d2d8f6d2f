package s3

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// maxDeletes is how many objects S3 deletes in one request.
const maxDeletes = 1000

// Delete implements objstore.Store, with one request per 1000 objects.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	for chunk := range slices.Chunk(keys, maxDeletes) {
		if err := s.deletes.do(ctx, 0, func(ctx context.Context) error { return s.deleteOnce(ctx, chunk) }); err != nil {
			if len(keys) == 1 {
				return fail(ctx, err, "delete %q", keys[0])
			}
			return fail(ctx, err, "delete %d objects", len(keys))
		}
	}
	return nil
}

func (s *Store) deleteOnce(ctx context.Context, keys []string) error {
	if len(keys) == 1 {
		_, err := s.client.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: &s.bucket, Key: s.name(keys[0])})
		return err
	}
	which := &types.Delete{Quiet: aws.Bool(true), Objects: make([]types.ObjectIdentifier, len(keys))}
	for i, key := range keys {
		which.Objects[i].Key = s.name(key)
	}
	out, err := s.client.DeleteObjects(ctx, &sdk.DeleteObjectsInput{Bucket: &s.bucket, Delete: which})
	if err != nil || len(out.Errors) == 0 {
		return err
	}
	// One failed object is as good as all: to delete the others again does no
	// harm.
	first := out.Errors[0]
	return fmt.Errorf("%d were not deleted, %q is one of them: %w", len(out.Errors), aws.ToString(first.Key),
		&smithy.GenericAPIError{Code: aws.ToString(first.Code), Message: aws.ToString(first.Message)})
}
