package s3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// probePrefix begins the names of the objects that Check writes. No key does:
// its names do not begin with a dot.
const probePrefix = ".probe-"

// Check finds out whether the bucket can be used: it lists, and writes, reads
// and deletes a small object. What is wrong comes back as a sentence that says
// what to do.
func (s *Store) Check(ctx context.Context) error {
	if _, err := s.page(ctx, &sdk.ListObjectsV2Input{Bucket: &s.bucket, Prefix: s.listPrefix(""), MaxKeys: aws.Int32(1)}); err != nil {
		return s.explain(err, "s3:ListBucket", "")
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	key := probePrefix + hex.EncodeToString(random[:])
	if err := s.put(ctx, key, objstore.Body{}); err != nil {
		return s.explain(err, "s3:PutObject", "/"+s.prefix+"*")
	}
	_, err := s.get(ctx, key, 0, -1)
	if err != nil {
		err = s.explain(err, "s3:GetObject", "/"+s.prefix+"*")
	}
	if deleted := s.Delete(ctx, key); deleted != nil {
		err = errors.Join(err, s.explain(deleted, "s3:DeleteObject", "/"+s.prefix+"*"))
	}
	return err
}

// explain says what to do about an error of a call that needs the action on
// the bucket or what is in it.
func (s *Store) explain(err error, action, resource string) error {
	switch {
	case code(err) == "NoSuchBucket":
		return fmt.Errorf("there is no bucket %q in region %s: give the one that Terraform's output `bucket` names, as --store-bucket, or set AWS_REGION to its region: %w",
			s.bucket, s.region, err)
	case status(err) == http.StatusMovedPermanently || code(err) == "AuthorizationHeaderMalformed":
		return fmt.Errorf("bucket %q is not in region %s: set AWS_REGION to its region: %w", s.bucket, s.region, err)
	case code(err) == "InvalidAccessKeyId" || code(err) == "SignatureDoesNotMatch" || code(err) == "ExpiredToken":
		return fmt.Errorf("S3 does not know these credentials: correct them, or give the task a role: %w", err)
	case status(err) == http.StatusForbidden:
		return fmt.Errorf("no permission to %s on arn:aws:s3:::%s%s: add it to the role that Terraform's output `task_role` names (and kms:GenerateDataKey and kms:Decrypt, where the bucket has a key of its own): %w",
			action, s.bucket, resource, err)
	case status(err) == 0:
		return fmt.Errorf("S3 does not answer, or there are no credentials: check the network, AWS_ENDPOINT_URL, and the task's role: %w", err)
	}
	return fmt.Errorf("bucket %q cannot be used: %w", s.bucket, err)
}
