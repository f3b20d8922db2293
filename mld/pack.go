package mld

// lenIPv6AndOptions is the length of the IPv6 header and the Hop-by-Hop
// Options header with its Router Alert.
const lenIPv6AndOptions = 40 + 8

// reportRoom is how many octets of records fit in one report.
func (m *Machine) reportRoom() int { return m.cfg.MTU - lenIPv6AndOptions - lenReportV2 }

// recordsPerReport is how many records without sources fit in one report.
func recordsPerReport(mtu int) int { return (mtu - lenIPv6AndOptions - lenReportV2) / lenRecord }

// maxSources is how many sources one record in one report can have.
func (m *Machine) maxSources() int { return (m.reportRoom() - lenRecord) / lenAddr }

// sendRecords sends the records in as few reports as the link's MTU allows
// without changing their order.
func (m *Machine) sendRecords(records []Record) {
	for _, report := range pack(records, m.reportRoom()) {
		m.counters.ReportsSent++
		m.send(allMLDv2, &ReportV2{Records: report})
	}
}

// pack divides records among reports that have room for so many octets of
// them each. A record that is too large for any report is split over several,
// or, if it is IS_EX or TO_EX, cut: "a single Multicast Address Record is sent,
// with as many source addresses as can fit" (RFC 3810, section 5.2.15). What
// is cut off is always the end of the list, "to report the same set of sources
// in each subsequent report".
func pack(records []Record, room int) (reports [][]Record) {
	octets := 0
	for _, r := range records {
		octets += r.size()
	}
	if len(records) > 0 && octets <= room {
		return [][]Record{records}
	}
	var report []Record
	rest := room
	flush := func() {
		if len(report) > 0 {
			reports = append(reports, report)
			report, rest = nil, room
		}
	}
	for i, r := range records {
		if r.size() > room && (r.Type == ModeIsExclude || r.Type == ChangeToExcludeMode) {
			r.Sources = r.Sources[:(room-lenRecord)/lenAddr]
		}
		for r.size() > room {
			if n := (rest - lenRecord) / lenAddr; n > 0 {
				report = append(report, Record{r.Type, r.Group, r.Sources[:n:n]})
				r.Sources = r.Sources[n:]
			}
			flush()
		}
		if r.size() > rest {
			flush()
		}
		if report == nil {
			report = make([]Record, 0, min(len(records)-i, room/lenRecord))
		}
		report = append(report, r)
		rest -= r.size()
	}
	flush()
	return reports
}

// size is the length of the record in octets.
func (r Record) size() int { return lenRecord + lenAddr*len(r.Sources) }
