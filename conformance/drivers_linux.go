package conformance

// Drivers are the kinds of host that there are.
func Drivers() []Driver { return []Driver{CoreDriver{}, StackDriver{}, LinuxDriver{}, TapDriver{}} }
