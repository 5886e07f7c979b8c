package enrich

import (
	"fmt"

	"github.com/oschwald/maxminddb-golang/v2"
)

// record is what is read of a database's data: MaxMind's names (GeoLite2-ASN, GeoIP2-ISP; DB-IP uses them too).
type record struct {
	AS   uint32 `maxminddb:"autonomous_system_number"`
	Name string `maxminddb:"autonomous_system_organization"`
}

// parseDatabase reads a file in MaxMind's format to its last network: damage anywhere is found now, not at some
// address later. name stands for the file in errors.
func parseDatabase(name string, file []byte) (*table, error) {
	t, err := readDatabase(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

func readDatabase(file []byte) (*table, error) {
	reader, err := maxminddb.OpenBytes(file)
	if err != nil {
		return nil, fmt.Errorf("not a whole MaxMind DB file: %w", err)
	}
	// A tree of n nodes has n + 1 ends. One whose nodes are shared or go round has more ways than that to its ends,
	// up to 2^128, and no end in sight.
	ends := reader.Metadata.NodeCount + 1
	b, numbers := newBuilder(), make(map[uintptr]int)
	for found := range reader.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if err := found.Err(); err != nil {
			return nil, err
		}
		if ends == 0 {
			return nil, fmt.Errorf("the tree has more ends than its %d nodes make", reader.Metadata.NodeCount)
		}
		ends--
		if !found.Found() {
			continue
		}
		if err := b.network(found, numbers); err != nil {
			return nil, fmt.Errorf("%s: %w", found.Prefix(), err)
		}
	}
	if len(numbers) > 0 && b.table.prefixes == 0 {
		return nil, errNotASN
	}
	t, _, err := b.done()
	return t, err
}

// unnumbered stands in numbers for data without an autonomous system.
const unnumbered = -1

// network adds a network of a database. Many networks share their data, which numbers remembers by its place.
func (b *builder) network(found maxminddb.Result, numbers map[uintptr]int) error {
	n, decoded := numbers[found.Offset()]
	if !decoded {
		var r record
		if err := found.Decode(&r); err != nil {
			return err
		}
		n = unnumbered
		if r.AS != 0 {
			var err error
			if n, err = b.number(system{as: r.AS, name: r.Name}); err != nil {
				return err
			}
		}
		numbers[found.Offset()] = n
	}
	if n == unnumbered {
		return nil
	}
	return b.add(found.Prefix(), n, 0)
}
