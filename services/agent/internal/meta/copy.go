package meta

import "reflect"

// Clone returns a row that shares no memory with row: a store keeps one, so
// that what the caller does with its own row later cannot reach what is stored.
func Clone(row Row) Row {
	clone := reflect.New(reflect.TypeOf(row).Elem())
	deepCopy(clone.Elem(), reflect.ValueOf(row).Elem())
	own, _ := reflect.TypeAssert[Row](clone) // it has row's own type
	return own
}

// Assign overwrites everything in dst with what src holds, which dst then
// shares. Both must be of one type. A store reads into a new row and assigns
// it, so that nothing of what dst held before is left between the new fields.
func Assign(dst, src Row) {
	reflect.ValueOf(dst).Elem().Set(reflect.ValueOf(src).Elem())
}

// deepCopy knows the kinds of field that rows are made of.
func deepCopy(dst, src reflect.Value) {
	switch src.Kind() {
	case reflect.Struct:
		for i := range src.NumField() {
			deepCopy(dst.Field(i), src.Field(i))
		}
	case reflect.Slice:
		if src.IsNil() {
			return
		}
		dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
		if src.Type().Elem().Kind() == reflect.Uint8 {
			reflect.Copy(dst, src)
			return
		}
		for i := range src.Len() {
			deepCopy(dst.Index(i), src.Index(i))
		}
	case reflect.Map:
		copyMap(dst, src)
	default:
		dst.Set(src)
	}
}

func copyMap(dst, src reflect.Value) {
	if src.IsNil() {
		return
	}
	dst.Set(reflect.MakeMapWithSize(src.Type(), src.Len()))
	for key, value := range src.Seq2() {
		own := reflect.New(value.Type()).Elem()
		deepCopy(own, value)
		dst.SetMapIndex(key, own)
	}
}
