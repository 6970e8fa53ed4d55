package diff

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"relocate/carvel"
)

// compareValues compares the values that two versions take; nil when they take the same. was and is are
// the schemas of their Packages.
//
// Errors: that of ctx.
func compareValues(ctx context.Context, v pair, was, is carvel.Schema) (*Values, error) {
	if was == nil && is == nil && slices.Equal(v.was.content(), v.is.content()) {
		return nil, nil
	}
	values := &Values{From: v.was.Version, To: v.is.Version}
	before, err := v.was.values(ctx, was)
	if err == nil {
		var after []carvel.Value
		if after, err = v.is.values(ctx, is); err == nil {
			values.compare(before, after)
		}
	}
	if err != nil {
		values.Unknown = err.Error()
	}
	if len(values.Added)+len(values.Removed)+len(values.Changed) == 0 && values.Unknown == "" {
		values = nil
	}
	return values, ctx.Err()
}

// values returns the values that a version takes: by the schema of its Package or, without one, by the
// files that it fetches.
func (v version) values(ctx context.Context, schema carvel.Schema) (list []carvel.Value, err error) {
	if schema == nil && v.part.Values != nil {
		schema, err = v.part.Values(ctx, v.Package)
	}
	if schema != nil && err == nil {
		list, err = schema.Values()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.Version, err)
	}
	return list, nil
}

// compare compares two sorted lists of values.
func (v *Values) compare(was, is []carvel.Value) {
	for len(was)+len(is) > 0 {
		switch {
		case len(is) == 0 || len(was) > 0 && was[0].Key < is[0].Key:
			v.Removed, was = append(v.Removed, was[0]), was[1:]
		case len(was) == 0 || is[0].Key < was[0].Key:
			v.Added, is = append(v.Added, is[0]), is[1:]
		default:
			if was[0].Type != is[0].Type || !reflect.DeepEqual(was[0].Default, is[0].Default) {
				v.Changed = append(v.Changed, ChangedValue{was[0].Key, was[0], is[0]})
			}
			was, is = was[1:], is[1:]
		}
	}
}
