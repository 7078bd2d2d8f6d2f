package s3

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// CreateBucket makes the bucket in the store's region, with what S3 gives every
// new bucket: no public access, and encryption with S3's own keys. A directory
// bucket is made in the zone that its name ends with. A bucket of one's own
// that is there is left as it is.
func (s *Store) CreateBucket(ctx context.Context) error {
	where, err := s.where()
	if err != nil {
		return err
	}
	err = s.lists.do(ctx, 0, func(ctx context.Context) error {
		_, err := s.client.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: &s.bucket, CreateBucketConfiguration: where}, func(o *sdk.Options) {
			o.DisableS3ExpressSessionAuth = aws.Bool(true) // there is no bucket to have a session with
		})
		return err
	})
	switch code(err) {
	case "BucketAlreadyOwnedByYou":
		return nil
	case "BucketAlreadyExists":
		return fmt.Errorf("the bucket name %q is taken by another account: choose another: %w", s.bucket, err)
	}
	return fail(ctx, err, "create bucket %q", s.bucket)
}

// where says in what region or zone to make the bucket; S3's first region is
// the one that must not be named.
func (s *Store) where() (*types.CreateBucketConfiguration, error) {
	if s.directory() {
		zone := zoneOf(s.bucket)
		if zone == "" {
			return nil, fmt.Errorf("bucket name %q does not tell its zone: a directory bucket is named as NAME--use1-az4%s", s.bucket, directorySuffix)
		}
		return &types.CreateBucketConfiguration{
			Location: &types.LocationInfo{Name: aws.String(zone), Type: types.LocationTypeAvailabilityZone},
			Bucket:   &types.BucketInfo{DataRedundancy: types.DataRedundancySingleAvailabilityZone, Type: types.BucketTypeDirectory},
		}, nil
	}
	if s.region == "us-east-1" {
		return nil, nil
	}
	return &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(s.region)}, nil
}

// zoneOf is the id of the zone in a directory bucket's name.
func zoneOf(bucket string) string {
	name, zone, found := cutLast(strings.TrimSuffix(bucket, directorySuffix), "--")
	if !found || name == "" {
		return ""
	}
	return zone
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
