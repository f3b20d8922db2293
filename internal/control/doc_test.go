package control

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// curlVariable makes the test binary a small curl.
const curlVariable = "TAPSTACK_TEST_CURL"

func TestMain(m *testing.M) {
	if os.Getenv(curlVariable) != "" {
		if err := curl(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// curl does what the examples ask of curl, where there is none.
func curl(args []string) error {
	f := flag.NewFlagSet("curl", flag.ContinueOnError)
	f.Bool("s", false, "")
	f.Bool("N", false, "")
	maxTime := f.Duration("max-time", time.Minute, "")
	method := f.String("X", "", "")
	body := f.String("d", "", "")
	header := make(http.Header)
	f.Func("H", "", func(line string) error {
		name, value, _ := strings.Cut(line, ": ")
		header.Set(name, value)
		return nil
	})
	socket := f.String("unix-socket", "", "")
	for i, a := range args {
		if i > 0 && args[i-1] == "--max-time" {
			args[i] = a + "s"
		}
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	if *method == "" && *body != "" {
		*method = "POST"
	}
	ctx, cancel := context.WithTimeout(context.Background(), *maxTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, *method, f.Arg(0), strings.NewReader(*body))
	if err != nil {
		return err
	}
	req.Header = header
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", *socket)
	}}}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}

// examples are the command lines of the console blocks in a Markdown file, each
// with the output that follows it.
func examples(markdown string) (all [][2]string) {
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(markdown, -1) {
		for _, e := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, output, _ := strings.Cut(e, "\n")
			all = append(all, [2]string{command, strings.TrimSuffix(output, "\n")})
		}
	}
	return all
}

// The examples of docs/control-api.md are run as they stand, in order, by curl
// or by what stands in for it.
func TestDocumentedExamples(t *testing.T) {
	markdown, err := os.ReadFile("../../docs/control-api.md")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, quick)
	env := append(os.Environ(), "S="+s.socket)
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("there is no curl here: this test program stands in for it")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, filepath.Join(s.dir, "curl")); err != nil {
			t.Fatal(err)
		}
		env = append(env, "PATH="+s.dir+":"+os.Getenv("PATH"), curlVariable+"=1")
	}
	all := examples(string(markdown))
	if len(all) < 20 {
		t.Fatalf("found %d examples only", len(all))
	}
	for _, e := range all {
		cmd := exec.Command("sh", "-c", e[0])
		var stderr bytes.Buffer
		cmd.Env, cmd.Stderr = env, &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("$ %s\n%v\n%s", e[0], err, &stderr)
		}
		if diff := cmp.Diff(e[1], sameInEveryRun(strings.TrimSuffix(string(out), "\n"))); diff != "" {
			t.Errorf("$ %s\n(-documented +got):\n%s", e[0], diff)
		}
	}
}

// sameInEveryRun puts the documentation's values in the place of those that
// differ from run to run.
func sameInEveryRun(s string) string {
	for pattern, value := range map[string]string{
		`"(time|since)":"[^"]*"`: `"$1":"2026-01-02T03:04:05.678901234Z"`,
		`"rtt":[0-9.e-]+`:        `"rtt":0.000123`,
		`"counters":\{.*\}\}\]`:  `"counters":{…}}]`,
	} {
		s = regexp.MustCompile(pattern).ReplaceAllString(s, value)
	}
	return s
}

// Every path of the interface is documented.
func TestEveryPathIsDocumented(t *testing.T) {
	markdown, err := os.ReadFile("../../docs/control-api.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("server.go")
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`"[A-Z]+ (/v1/[a-z/]+)"`).FindAllSubmatch(source, -1)
	if len(paths) < 15 {
		t.Fatalf("found %d paths only", len(paths))
	}
	for _, p := range paths {
		if !regexp.MustCompile("http://tapstack" + string(p[1]) + `['? \n]`).Match(markdown) {
			t.Errorf("no example of %s", p[1])
		}
	}
}

// Every type of event is documented.
func TestEveryEventIsDocumented(t *testing.T) {
	markdown, err := os.ReadFile("../../docs/control-api.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../stack/event.go")
	if err != nil {
		t.Fatal(err)
	}
	types := regexp.MustCompile(`EventType = "([a-z0-9_]+)"`).FindAllSubmatch(source, -1)
	if len(types) < 15 {
		t.Fatalf("found %d types only", len(types))
	}
	_, events, _ := strings.Cut(string(markdown), "| type | fields |")
	for _, e := range types {
		if !strings.Contains(events, "`"+string(e[1])+"`") {
			t.Errorf("nothing on %s", e[1])
		}
	}
}
