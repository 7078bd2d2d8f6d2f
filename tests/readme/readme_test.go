// Package readme tries what the README tells people to do.
package readme

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// The example in the README compiles, runs against an agent, and says what it
// promises to say.
func TestExample(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := goBlock.FindSubmatch(readme)
	if found == nil {
		t.Fatal("the README has no Go example")
	}
	program := strings.Replace(string(found[1]), agent.DefaultListener.Address, startAgent(t), 1)
	main := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(main, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "run", main).CombinedOutput()
	if err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	if got := string(out); !strings.HasPrefix(got, "durable in partition ") || !strings.HasSuffix(got, "at offset 0\n") {
		t.Errorf("the example says %q", got)
	}
}

// startAgent runs an agent with the topic that the example writes to, and
// returns its address.
func startAgent(t *testing.T) string {
	t.Helper()
	a, err := agent.New(agent.Config{
		Listeners: []agent.Listener{{Name: "internal", Address: "127.0.0.1:0"}},
		Store:     agent.StoreConfig{Kind: agent.StoreMemory},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-a.Ready()
	conn, err := grpc.NewClient(a.Addr("internal"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = streamhousev1.NewTopicServiceClient(conn).CreateTopic(t.Context(),
		&streamhousev1.CreateTopicRequest{Name: "orders", PartitionCount: 8})
	if err != nil {
		t.Fatal(err)
	}
	return a.Addr("internal")
}
