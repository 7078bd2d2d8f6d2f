package journal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// example names two topics, a second partition and a state: every kind of step
// from one commit to the next.
var example = []Commit{
	{Topic: 3, Partition: 0, Epoch: 1, Base: 0, Records: 1, Size: 100},
	{Topic: 3, Partition: 7, Epoch: 300, Base: 1 << 40, Records: 1000, Size: 110_000, State: true},
	{Topic: 200, Partition: 2, Epoch: 2, Base: 5, Records: 70_000, Size: 4 << 20},
}

// exampleBytes is how a row of the first release holds them; docs/formats.md
// shows the same.
const exampleBytes = "03" +
	"03 00 01 00 01 c801" +
	"00 07 ac02 808080808020 e807 e1b60d" +
	"c501 02 02 05 f0a204 80808004"

// Rows of an earlier release must stay readable for ever, and the same commits
// must make the same bytes: R3 recognises a session's own row by them.
func TestCommitsGolden(t *testing.T) {
	want, err := hex.DecodeString(strings.ReplaceAll(exampleBytes, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := AppendCommits(nil, example); !bytes.Equal(got, want) {
		t.Errorf("packed as\n%x, want\n%x", got, want)
	}
	got, err := ParseCommits(want)
	if err != nil || !reflect.DeepEqual(got, example) {
		t.Errorf("read as %+v, %v", got, err)
	}
}

// randomCommits are sorted as AppendCommits wants them, with numbers of all
// lengths below the limits.
func randomCommits(r *rand.Rand, n int, limit Commit) []Commit {
	commits := make([]Commit, 0, n)
	topic, partition := uint32(r.IntN(3)), uint32(0)
	for range n {
		commits = append(commits, Commit{
			Topic: topic, Partition: partition, Epoch: below(r, limit.Epoch), Base: below(r, limit.Base),
			Records: uint32(below(r, uint64(limit.Records))), Size: uint32(below(r, uint64(limit.Size))), State: r.IntN(4) == 0,
		})
		p := uint64(partition) + 1 + below(r, 5)
		if p >= uint64(limit.Partition) || r.IntN(5) == 0 {
			p, topic = 0, topic+1+uint32(below(r, 100))
		}
		partition = uint32(p)
	}
	return commits
}

// below is less than limit, and as often short as long.
func below(r *rand.Rand, limit uint64) uint64 {
	return r.Uint64() >> r.IntN(64) % limit
}

func TestCommitsRoundTrip(t *testing.T) {
	wide := Commit{Partition: math.MaxUint32, Epoch: math.MaxUint64, Base: 1 << 63, Records: math.MaxUint32, Size: math.MaxUint32}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		want := randomCommits(r, r.IntN(50), wide)
		packed := AppendCommits([]byte("kept"), want)
		got, err := ParseCommits(packed[4:])
		if err != nil || string(packed[:4]) != "kept" || len(got) != len(want) ||
			len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: packed %+v\nread %+v, %v", seed, want, got, err)
		}
		for cut := range packed[4:] {
			if c, err := ParseCommits(packed[4 : 4+cut]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("seed %d: cut to %d bytes it reads %+v, %v", seed, cut, c, err)
			}
		}
		if _, err := ParseCommits(append(packed[4:], 0)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("seed %d: a byte too many reads with %v", seed, err)
		}
	}
}

// The largest numbers on both sides of a 32-bit boundary come back.
func TestCommitsExtremes(t *testing.T) {
	want := []Commit{
		{Topic: 0, Partition: math.MaxUint32, Epoch: math.MaxUint64, Base: math.MaxUint64 - math.MaxUint32, Records: math.MaxUint32, Size: math.MaxUint32, State: true},
		{Topic: math.MaxUint32, Partition: math.MaxUint32},
	}
	got, err := ParseCommits(AppendCommits(nil, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read as %+v, %v", got, err)
	}
}

// Sums that leave their type are refused: they would name another partition,
// or offsets that are taken.
func TestCommitsOverflow(t *testing.T) {
	first := []Commit{{Topic: 1, Partition: 1}}
	for name, b := range map[string][]byte{
		"topic":     append(AppendCommits(nil, first), 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0, 0, 0, 0),
		"partition": append(AppendCommits(nil, first), 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0),
		"offset":    append(AppendCommits(nil, first), 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 0),
	} {
		b[0] = 2
		if c, err := ParseCommits(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: read as %+v, %v", name, c, err)
		}
	}
}

// realistic are the limits of docs/formats.md under which a partition takes
// at most 24 bytes of a row: DynamoDB bills them by the KB, and a row holds
// 400 KB.
var realistic = Commit{Topic: 1 << 21, Partition: 1 << 14, Epoch: 1 << 28, Base: 1 << 49, Records: 1 << 28, Size: 1 << 27}

func TestCommitSize(t *testing.T) {
	largest := Commit{
		Topic: realistic.Topic - 1, Partition: realistic.Partition - 1, Epoch: realistic.Epoch - 1, Base: realistic.Base - 1,
		Records: realistic.Records - 1, Size: realistic.Size - 1, State: true,
	}
	if n := len(AppendCommits(nil, []Commit{largest})); n != 1+24 {
		t.Errorf("the largest commit takes %d bytes beside the count, want 24", n-1)
	}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		commits := randomCommits(r, 1+r.IntN(300), realistic)
		if last := commits[len(commits)-1]; last.Topic >= realistic.Topic {
			t.Fatalf("seed %d: the generator made topic %d", seed, last.Topic)
		}
		if n := len(AppendCommits(nil, commits)); n > 3+24*len(commits) {
			t.Errorf("seed %d: %d commits take %d bytes", seed, len(commits), n)
		}
	}
}

// A row with as many partitions as one flush can have is read again, and fits
// a DynamoDB item with room for the rest of the row.
func TestMaxCommits(t *testing.T) {
	commits := make([]Commit, MaxCommits)
	for i := range commits {
		commits[i] = realistic
		commits[i].Topic, commits[i].Partition = 1<<20+uint32(i), 1<<14-1
		commits[i].Epoch, commits[i].Base, commits[i].Records, commits[i].Size = 1<<28-1, 1<<49-1, 1<<28-1, 1<<27-1
	}
	packed := AppendCommits(nil, commits)
	if got, err := ParseCommits(packed); err != nil || !reflect.DeepEqual(got, commits) {
		t.Fatalf("%d commits came back as %d, %v", len(commits), len(got), err)
	}
	if most, limit := 3+24*MaxCommits, 400<<10-4<<10; len(packed) > most || most > limit {
		t.Errorf("a full row takes %d bytes; the format allows %d, and an item has room for %d", len(packed), most, limit)
	}
	if _, err := ParseCommits(AppendCommits(nil, slices.Concat(commits, commits[:1]))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("more than MaxCommits are read with %v", err)
	}
}

// FuzzParseCommits: no panic, no allocation beyond what the bytes justify, and
// what is read means the same when it is written again.
func FuzzParseCommits(f *testing.F) {
	f.Add([]byte{0})
	f.Add(AppendCommits(nil, example))
	f.Add(AppendCommits(nil, randomCommits(rand.New(rand.NewPCG(1, 3)), 20, realistic)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseCommits(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if 6*len(got) > len(b) {
			t.Fatalf("%d commits out of %d bytes", len(got), len(b))
		}
		for i := range got {
			if c := &got[i]; c.Base+uint64(c.Records) < c.Base {
				t.Fatalf("commit %d wraps around: %+v", i, c)
			}
		}
		again, err := ParseCommits(AppendCommits(nil, got))
		if err != nil || len(got) > 0 && !reflect.DeepEqual(got, again) {
			t.Fatalf("written again: %v\nwas %+v\nnow %+v", err, got, again)
		}
	})
}
