package conformance

import (
	"context"
	"path"
	"slices"
	"sync"
	"time"
)

// Runner runs cases against one kind of target. Only Driver must be set.
type Runner struct {
	Driver Driver
	// Profiles are those to run by; nil: all that the driver knows.
	Profiles []string
	// Parallel is how many cases run at once; 0: as many as the driver says.
	Parallel int
	// Longest is how long a case may take in real time; longer ones are not
	// applicable. 0: a minute and a half.
	Longest time.Duration
	// Known are the cases, by their identifiers, that are known not to pass:
	// they are not tried again when they fail.
	Known map[string]bool
	// Progress, if not nil, is told of every result, one at a time; of those
	// that are tried again, each time.
	Progress func(Result)
	// Began, if not nil, is told of every case that begins, never while
	// Progress is.
	Began func(c *Case, profile string)
}

// job is one case by one profile.
type job struct {
	c       *Case
	profile string
}

// Run runs the cases and returns their results: by profile, then in the order
// of the cases. Cases that had not begun when ctx ended are inconclusive.
//
// A real clock judges the machine too: what did not pass is tried again, up to
// four times, when there is less to do. What stopped at the same step three
// times is believed.
func (r Runner) Run(ctx context.Context, cases []*Case) []Result {
	profiles := r.Profiles
	if len(profiles) == 0 {
		profiles = r.Driver.Profiles()
	}
	var jobs []job
	for _, p := range profiles {
		for _, c := range cases {
			jobs = append(jobs, job{c, p})
		}
	}
	results := make([]Result, len(jobs))
	r.play(ctx, jobs, results, r.order(jobs), 1)
	if r.virtual() {
		return results
	}
	stops := make([]stop, len(jobs))
	for try := 2; try <= tries && ctx.Err() == nil; try++ {
		var again []int
		for k, result := range results {
			if r.doubted(result) && stops[k].count(result) < believed {
				again = append(again, k)
			}
		}
		quieter := r
		quieter.Parallel = max(1, r.parallel()>>(try-1))
		quieter.play(ctx, jobs, results, again, try)
	}
	return results
}

// tries is how often a case is played in real time before it is believed to
// fail, and believed how often if it is the same step each time.
const (
	tries    = 5
	believed = 3
)

// doubted reports whether a result is to be tried again.
func (r Runner) doubted(result Result) bool {
	return result.Verdict == Inconclusive || result.Verdict == Fail && !r.Known[result.Case]
}

// stop is the line at which a case stopped, and how often in a row.
type stop struct{ line, times int }

func (s *stop) count(result Result) int {
	if result.Line != s.line {
		*s = stop{line: result.Line}
	}
	s.times++
	return s.times
}

// play plays the jobs that order names, and puts their results in place.
func (r Runner) play(ctx context.Context, jobs []job, results []Result, order []int, try int) {
	next := make(chan int)
	var wg sync.WaitGroup
	var progress sync.Mutex
	for range min(r.parallel(), len(order)) {
		wg.Go(func() {
			for k := range next {
				if r.Began != nil {
					progress.Lock()
					r.Began(jobs[k].c, jobs[k].profile)
					progress.Unlock()
				}
				result := r.job(ctx, jobs[k])
				if try > 1 && ctx.Err() != nil && result.Verdict != Pass {
					continue // the try before says more
				}
				result.Tries = try
				results[k] = result
				if r.Progress != nil {
					progress.Lock()
					r.Progress(results[k])
					progress.Unlock()
				}
			}
		})
	}
	for _, k := range order {
		next <- k
	}
	close(next)
	wg.Wait()
}

func (r Runner) virtual() bool { return r.Driver.Slack() == 0 }

func (r Runner) parallel() int {
	if r.Parallel > 0 {
		return r.Parallel
	}
	return r.Driver.Parallel()
}

// order begins with the longest in real time, so that they do not run alone at
// the end.
func (r Runner) order(jobs []job) []int {
	all := make([]int, len(jobs))
	for k := range all {
		all[k] = k
	}
	if !r.virtual() {
		slices.SortStableFunc(all, func(a, b int) int { return int(jobs[b].c.Length() - jobs[a].c.Length()) })
	}
	return all
}

// job runs one case; where chance is in our hands, with several kinds of it,
// up to the first that the case does not pass.
func (r Runner) job(ctx context.Context, j job) (result Result) {
	chances := []Chance{Random}
	if r.virtual() {
		chances = []Chance{Earliest, Latest, Random}
	}
	longest := r.Longest
	if longest == 0 {
		longest = 90 * time.Second
	}
	for _, chance := range chances {
		switch {
		case ctx.Err() != nil:
			result = newResult(j.c, r.Driver, j.profile, chance)
			result.Verdict, result.Observed = Inconclusive, ctx.Err().Error()
		case !r.virtual() && j.c.Length() > longest:
			result = newResult(j.c, r.Driver, j.profile, chance)
			result.Verdict, result.Observed = NotApplicable, "it takes "+j.c.Length().String()+" in real time"
		default:
			result = playCase(ctx, j.c, r.Driver, j.profile, chance)
		}
		if result.Verdict != Pass {
			return result
		}
	}
	return result
}

// Select returns the cases whose identifier, or group, matches a pattern of
// path.Match.
func Select(cases []*Case, pattern string) (selected []*Case, err error) {
	for _, c := range cases {
		byID, err := path.Match(pattern, c.ID)
		if err != nil {
			return nil, err
		}
		if byGroup, _ := path.Match(pattern, c.Group); byID || byGroup {
			selected = append(selected, c)
		}
	}
	return selected, nil
}
