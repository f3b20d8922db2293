package conformance

import (
	"net/netip"
	"reflect"
	"strings"
	"time"
	"unsafe"
)

// cloner copies a value with all that it points to, unexported fields too, so
// that a host can be run on from a moment in more ways than one. A Core is made
// for that: it holds no function that remembers it, no lock and no channel.
type cloner struct {
	// done is where the copy is of what was at an address; the type tells a
	// struct from its first field.
	done map[place]unsafe.Pointer
}

type place struct {
	at unsafe.Pointer
	t  reflect.Type
}

// clone returns a deep copy of *v. What instead names is not copied but
// replaced.
func clone[T any](v *T, instead map[any]any) *T {
	c := &cloner{map[place]unsafe.Pointer{}}
	for old, new := range instead {
		o := reflect.ValueOf(old)
		c.done[place{o.UnsafePointer(), o.Type().Elem()}] = reflect.ValueOf(new).UnsafePointer()
	}
	return c.pointer(reflect.ValueOf(v)).Interface().(*T)
}

// pointer copies what a pointer points to.
func (c *cloner) pointer(v reflect.Value) reflect.Value {
	t := v.Type().Elem()
	if v.IsNil() {
		return v
	}
	if at, ok := c.done[place{v.UnsafePointer(), t}]; ok {
		return reflect.NewAt(t, at)
	}
	copied := reflect.New(t)
	c.note(v.Elem(), copied.Elem())
	c.fill(copied.Elem(), v.Elem())
	return copied
}

// note remembers a place and those inside of it, for pointers into it.
func (c *cloner) note(from, to reflect.Value) {
	c.done[place{from.Addr().UnsafePointer(), from.Type()}] = to.Addr().UnsafePointer()
	switch from.Kind() {
	case reflect.Struct:
		for i := range from.NumField() {
			if k := from.Field(i).Kind(); k == reflect.Struct || k == reflect.Array {
				c.note(from.Field(i), to.Field(i))
			}
		}
	case reflect.Array:
		if k := from.Type().Elem().Kind(); k == reflect.Struct || k == reflect.Array {
			for i := range from.Len() {
				c.note(from.Index(i), to.Index(i))
			}
		}
	}
}

var timeType, addrType, prefixType = reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix]()

// plain reports whether a copy of the value itself will do.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return false
	case reflect.Struct:
		if t == timeType || t == addrType || t == prefixType || strings.HasPrefix(t.String(), "unique.Handle[") {
			return true
		}
		for i := range t.NumField() {
			if !plain(t.Field(i).Type) {
				return false
			}
		}
	case reflect.Array:
		return plain(t.Elem())
	}
	return true
}

// open makes an unexported field one that can be read and set.
func open(v reflect.Value) reflect.Value {
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

// fill makes to a copy of from. Both have an address.
func (c *cloner) fill(to, from reflect.Value) {
	to, from = open(to), open(from)
	if plain(from.Type()) {
		to.Set(from)
		return
	}
	switch from.Kind() {
	case reflect.Struct:
		for i := range from.NumField() {
			c.fill(to.Field(i), from.Field(i))
		}
	case reflect.Array:
		for i := range from.Len() {
			c.fill(to.Index(i), from.Index(i))
		}
	case reflect.Pointer:
		to.Set(c.pointer(from))
	case reflect.Slice:
		if from.IsNil() {
			return
		}
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			c.fill(to.Index(i), from.Index(i))
		}
	case reflect.Map:
		if !from.IsNil() {
			c.fillMap(to, from)
		}
	case reflect.Interface:
		if !from.IsNil() {
			to.Set(c.value(from.Elem()))
		}
	}
}

func (c *cloner) fillMap(to, from reflect.Value) {
	to.Set(reflect.MakeMapWithSize(from.Type(), from.Len()))
	for it := from.MapRange(); it.Next(); {
		to.SetMapIndex(c.value(it.Key()), c.value(it.Value()))
	}
}

// value copies a value that has no address.
func (c *cloner) value(v reflect.Value) reflect.Value {
	held, copied := reflect.New(v.Type()).Elem(), reflect.New(v.Type()).Elem()
	held.Set(v)
	c.fill(copied, held)
	return copied
}
