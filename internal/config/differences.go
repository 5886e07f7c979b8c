package config

import "reflect"

// Differences names the keys at the top level in which two configurations of one struct type differ.
func Differences[T any](was, is T) []string {
	before, after := reflect.ValueOf(was), reflect.ValueOf(is)
	var names []string
	for field := range reflect.TypeFor[T]().Fields() {
		if !reflect.DeepEqual(before.FieldByIndex(field.Index).Interface(), after.FieldByIndex(field.Index).Interface()) {
			names = append(names, field.Tag.Get("toml"))
		}
	}
	return names
}
