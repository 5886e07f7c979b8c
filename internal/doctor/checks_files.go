package doctor

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"flowsensor/internal/seal"
)

// checkKey judges the key's file as the sensor does, and whether the service can get at it.
func checkKey(_ context.Context, p *patient) []Result {
	path := p.config.Export.KeyFile
	if path == "" {
		return []Result{skipped("export.key_file is not set")}
	}
	const remedy = "chown root:flow-sensor %s && chmod 0640 %s"
	file, err := p.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Result{problem("there is no such file").of(path).do("`(umask 027; flow-sensor keygen > %[1]s; chgrp --reference=%[2]s %[1]s)`, and give the key to the collector", path, filepath.Dir(path))}
	case errors.Is(err, fs.ErrPermission):
		return []Result{skipped("this user may not look at it: run doctor as root").of(path)}
	case err != nil:
		return []Result{problem("%v", err).of(path).do("put the key there")}
	}
	_, err = seal.LoadKeyFile(path)
	if errors.Is(err, seal.ErrKeyFile) {
		return []Result{problem("%v", err).of(path).do(remedy, path, path)}
	}
	if p.named && !readable(file, p.service) {
		return []Result{problem("mode %#o, owner %d, group %d: the user %s cannot read it", file.Mode.Perm(), file.UID, file.GID, account).of(path).do(remedy, path, path)}
	}
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return []Result{problem("%v", err).of(path).do("put a key there as `flow-sensor keygen` makes it")}
	}
	results := []Result{well("mode %#o", file.Mode.Perm()).of(path)}
	dir := filepath.Dir(path)
	if folder, err := p.Stat(dir); err == nil && folder.Mode.Perm()&0o002 != 0 && folder.Mode&fs.ModeSticky == 0 {
		results = append(results, problem("everyone may put files there").of(dir).do("chmod o-w %s", dir))
	}
	return results
}

// readable reports whether a user may read a file by its mode. The user's further groups are not looked at: the packages use
// none.
func readable(f File, a Account) bool {
	switch {
	case a.UID == 0:
		return true
	case f.UID == a.UID:
		return f.Mode&0o400 != 0
	case f.GID == a.GID:
		return f.Mode&0o040 != 0
	default:
		return f.Mode&0o004 != 0
	}
}

// leastFree is what the state directory needs for its own files beside a spool.
const leastFree = 64 << 20

// checkState looks at the directories that the sensor writes to.
func checkState(_ context.Context, p *patient) []Result {
	results := p.directory(p.config.StateDir, 0)
	spool := uint64(p.config.Export.SpoolSize)
	if dir := p.config.Export.SpoolDir; dir != "" && dir != p.config.StateDir {
		return append(results, p.directory(dir, spool)...)
	}
	return p.directory(p.config.StateDir, spool)
}

// directory holds a directory to what will lie in it: a spool of that size, at most.
func (p *patient) directory(dir string, spool uint64) []Result {
	if dir == "" {
		return []Result{skipped("state_dir is not set")}
	}
	file, err := p.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Result{skipped("it is not there yet: the unit makes it when the service starts").of(dir)}
	case errors.Is(err, fs.ErrPermission):
		return []Result{skipped("this user may not look at it: run doctor as root").of(dir)}
	case err != nil:
		return []Result{problem("%v", err).of(dir).do("make it a directory of the user %s", account)}
	case !file.Mode.IsDir():
		return []Result{problem("it is not a directory").of(dir).do("move it away")}
	case p.named && file.UID != p.service.UID && p.service.UID != 0:
		return []Result{problem("it belongs to user %d, not to %s", file.UID, account).of(dir).do("chown -R %s: %s", account, dir)}
	case file.Mode.Perm()&0o077 != 0:
		return []Result{warning("mode %#o lets others in: the spool holds flows in plain text", file.Mode.Perm()).of(dir).do("chmod 0700 %s", dir)}
	}
	return []Result{p.room(dir, spool).of(dir)}
}

func (p *patient) room(dir string, spool uint64) Result {
	space, err := p.Space(dir)
	if err != nil {
		return skipped("%v", err)
	}
	need := spool
	if p.daemon != nil {
		need -= min(need, uint64(max(p.daemon.Export.SpoolBytes, 0))) // it has its place already
	}
	const lean = 50 // one inode in so many
	switch {
	case space.Free < leastFree:
		return problem("the disk is full: %s left", mebi(space.Free)).do("make room: without it, what is not acknowledged is lost at the next restart")
	case space.AllInodes > 0 && space.FreeInodes < space.AllInodes/lean:
		return warning("%d inodes left of %d", space.FreeInodes, space.AllInodes).do("remove small files from that file system")
	case space.Free < need+leastFree:
		return warning("%s left, and the spool may still grow by %s", mebi(space.Free), mebi(need)).do("make room, or make export.spool_size smaller")
	}
	return well("%s left", mebi(space.Free))
}
