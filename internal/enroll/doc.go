// Package enroll keeps a collector's sensors as files: a drop-in with its [[sensor]] table for each, and its keys.
//
// A Folder is used by one command at a time. Each change is on the disk when its method returns, and after a crash in the
// middle either the old or the new state is there: at worst a key file that nothing names. What these methods write, the daemon
// takes over when it is told to reload; what they refuse, they leave as it was. Errors and texts never hold a key.
package enroll
