package s3

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3response"
)

// suffix ends the name of every object's file. In S3 the keys a and a/b stand
// side by side; in a file system a would have to be a file and a folder. It
// sorts before whatever else a key may go on with, so that lists keep their
// order.
const suffix = "!"

// keys adds the suffix on the way in and takes it away on the way out. It
// knows the operations on objects that StreamHouse and its tools use; copies,
// tags and locks are not among them.
type keys struct{ backend.Backend }

func inner(key *string) *string {
	if key == nil {
		return nil
	}
	name := *key + suffix
	return &name
}

func outer(name string) string { return strings.TrimSuffix(name, suffix) }

func (k keys) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	in.Key = inner(in.Key)
	return k.Backend.PutObject(ctx, in)
}

func (k keys) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	in.Key = inner(in.Key)
	return k.Backend.HeadObject(ctx, in)
}

func (k keys) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	in.Key = inner(in.Key)
	return k.Backend.GetObject(ctx, in)
}

func (k keys) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	in.Key = inner(in.Key)
	return k.Backend.DeleteObject(ctx, in)
}

func (k keys) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	for i := range in.Delete.Objects {
		in.Delete.Objects[i].Key = inner(in.Delete.Objects[i].Key)
	}
	out, err := k.Backend.DeleteObjects(ctx, in)
	for i := range out.Deleted {
		*out.Deleted[i].Key = outer(*out.Deleted[i].Key)
	}
	for i := range out.Error {
		*out.Error[i].Key = outer(*out.Error[i].Key)
	}
	return out, err
}

func (k keys) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	if in.StartAfter != nil && *in.StartAfter != "" {
		in.StartAfter = inner(in.StartAfter)
	}
	out, err := k.Backend.ListObjectsV2(ctx, in)
	for i := range out.Contents {
		*out.Contents[i].Key = outer(*out.Contents[i].Key)
	}
	return out, err
}

func (k keys) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	if in.KeyMarker != nil && *in.KeyMarker != "" {
		in.KeyMarker = inner(in.KeyMarker)
	}
	out, err := k.Backend.ListObjectVersions(ctx, in)
	for i := range out.Versions {
		*out.Versions[i].Key = outer(*out.Versions[i].Key)
	}
	return out, err
}

func (k keys) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	in.Key = inner(in.Key)
	out, err := k.Backend.CreateMultipartUpload(ctx, in)
	out.Key = outer(out.Key)
	return out, err
}

func (k keys) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	in.Key = inner(in.Key)
	return k.Backend.UploadPart(ctx, in)
}

func (k keys) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	in.Key = inner(in.Key)
	out, version, err := k.Backend.CompleteMultipartUpload(ctx, in)
	if out.Key != nil {
		*out.Key = outer(*out.Key)
	}
	return out, version, err
}

func (k keys) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	in.Key = inner(in.Key)
	return k.Backend.AbortMultipartUpload(ctx, in)
}

func (k keys) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	out, err := k.Backend.ListMultipartUploads(ctx, in)
	for i := range out.Uploads {
		out.Uploads[i].Key = outer(out.Uploads[i].Key)
	}
	return out, err
}
