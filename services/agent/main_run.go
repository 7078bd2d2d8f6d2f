package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

// Exit codes of Main.
const (
	exitClean = 0
	exitError = 1
	exitUsage = 2
	// exitSignal is added to the number of a second signal, as shells do.
	exitSignal = 128
)

// Main runs an agent as a process until SIGTERM, SIGINT or the end of ctx, and
// returns the exit code: 0 after a clean drain, 1 when the agent could not
// start, go on or drain, 2 when the settings are wrong. A second signal does
// not wait for the drain: Main returns 128 and the signal's number at once.
// Args are without the program's name. When the first is "store", Main serves a
// store to several agents instead; docs/configuration.md tells more. Settings also come from the process's
// environment and from a file; see Config.Load.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	p := process{
		stdout: stdout, stderr: stderr, environ: os.Environ(), signals: signals,
		start: func(cfg Config, log *slog.Logger) (runner, error) { return New(cfg, WithLogger(log)) },
	}
	return p.main(ctx, args)
}

// runner is an Agent.
type runner interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
	Addr(listener string) string
}

// process is what Main has of the outside.
type process struct {
	stdout, stderr io.Writer
	environ        []string
	signals        <-chan os.Signal
	start          func(Config, *slog.Logger) (runner, error)
}

func (p *process) main(ctx context.Context, args []string) int {
	if len(args) > 0 && args[0] == healthCommand {
		return p.health(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == storeCommand {
		return p.storeMain(ctx, args[1:])
	}
	var cfg Config
	fs := p.flags(&cfg)
	switch err := p.configure(ctx, &cfg, fs, args); {
	case errors.Is(err, pflag.ErrHelp):
		return exitClean
	case errors.Is(err, errVersion):
		fmt.Fprintf(p.stdout, "streamhouse-agent %s %s %s\n", Version(), cmp.Or(revision, "-"), runtime.Version())
		return exitClean
	case err != nil:
		fmt.Fprintf(p.stderr, "%v\n--help tells about the settings.\n", err)
		return exitUsage
	}
	log := newLogger(cfg.Log, p.stderr)
	logSettings(log, fs)
	limitMemory(cfg, p.environ)
	code, err := p.run(ctx, cfg, log)
	if err != nil {
		fmt.Fprintf(p.stderr, "streamhouse-agent: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return code
}

func (p *process) flags(cfg *Config) *pflag.FlagSet {
	fs := pflag.NewFlagSet("streamhouse-agent", pflag.ContinueOnError)
	fs.SortFlags = false
	cfg.Register(fs)
	fs.Bool("version", false, "print the version and exit")
	fs.Usage = func() {
		fmt.Fprintf(p.stdout, "Run a StreamHouse agent, or, with \"health\" as the first word, ask whether one lives here.\n"+
			"Each setting is also an environment variable: --flush-bytes is\n"+
			"%s. docs/configuration.md tells more.\n\n%s", envName("flush-bytes"), fs.FlagUsagesWrapped(100))
	}
	return fs
}

// errVersion is returned when only the version was asked for.
var errVersion = errors.New("the version was asked for")

func (p *process) configure(ctx context.Context, cfg *Config, fs *pflag.FlagSet, args []string) error {
	if err := p.load(cfg, fs, args); err != nil {
		return err
	}
	if err := cfg.place(ctx, p.environ); err != nil {
		return err
	}
	return cfg.Validate()
}

// load reads the settings as they were given.
func (p *process) load(cfg *Config, fs *pflag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && len(unknown.GetSpecifiedName()) > 1 {
			return fmt.Errorf("%w%s", err, suggest("--", "--"+unknown.GetSpecifiedName(), settings()))
		}
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%q is not a flag, and an agent takes nothing else", fs.Arg(0))
	}
	if fs.Changed("version") {
		return errVersion
	}
	return cfg.Load(fs, p.environ)
}

// run keeps an agent from its start to its end.
func (p *process) run(ctx context.Context, cfg Config, log *slog.Logger) (int, error) {
	ready, err := newReadyFile(cfg.ReadyFile)
	if err != nil {
		return exitError, err
	}
	defer ready.remove()
	a, err := p.start(cfg, log)
	if err != nil {
		return exitError, fmt.Errorf("start: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }() // left behind only by a second signal, when the process ends
	var failed error
	for serves := a.Ready(); ; {
		select {
		case <-serves:
			serves = nil
			if failed = ready.write(cfg.Listeners, a.Addr); failed != nil {
				cancel(failed)
			}
		case got := <-p.signals:
			if ctx.Err() != nil {
				return exitSignal + number(got), fmt.Errorf("%s: ended without a drain", got)
			}
			log.Info("draining; a second signal ends at once", slog.String("signal", got.String()))
			cancel(fmt.Errorf("received signal %s", got))
		case err := <-ended:
			if err = errors.Join(failed, err); err != nil {
				return exitError, err
			}
			log.Info("ended")
			return exitClean, nil
		}
	}
}

func number(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return int(n)
	}
	return 0
}
