// Package doctor looks over a sensor's machine as an expert would, and says of each thing whether it is well and what to do.
//
// The command calls Examine, once; it starts nothing that outlives it and changes nothing. Each check is a function over a
// Box, the machine as checks see it: NewMachine gives the real one, tests make their own. It stands beside the assembly
// because it judges the assembled sensor: its configuration, what its capture needs, its keys and its collector.
package doctor
