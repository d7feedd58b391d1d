package cloud

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"ringback/shared/storage"
)

// dictionary holds what rows of events have in common, such as the names of JSON fields. A compressed row refers to it
// and does not repeat it, so that most events of 1 KiB fit into one write unit. It must never change, since stored rows
// cannot be read without it; a better one would get an id of its own beside this one.
//
//go:embed dictionary
var dictionary []byte

const dictionaryID = 1

// A packer compresses Data and Body of a row with zstd (RFC 8878) and dictionary. The plain form is
//
//	uvarint: bytes of Data plus one, or zero for nil
//	uvarint: the same for Body
//	Data, Body
//
// It is safe for concurrent use, and the zero value is ready. The coders are made at first use, since an ack needs none.
type packer struct {
	once sync.Once
	enc  *zstd.Encoder
	dec  *zstd.Decoder
}

// Limits of the coders: two rows at a time, since a function has at most two cores, and no more memory for an unpacked
// frame than the largest row needs.
const (
	concurrency = 2
	unpackBytes = storage.MaxRowBytes + 2*binary.MaxVarintLen32
)

// start makes the coders. It cannot fail, since all options are constants that zstd allows.
func (p *packer) start() {
	p.once.Do(func() {
		p.enc, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderDictRaw(dictionaryID, dictionary),
			zstd.WithEncoderConcurrency(concurrency), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(512<<10))
		p.dec, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(concurrency), zstd.WithDecoderDictRaw(dictionaryID, dictionary),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(unpackBytes))
	})
}

func (p *packer) pack(data, body []byte) []byte {
	p.start()
	plain := make([]byte, 0, len(data)+len(body)+2*binary.MaxVarintLen32)
	plain = appendLength(appendLength(plain, data), body)
	plain = append(append(plain, data...), body...)
	return p.enc.EncodeAll(plain, nil)
}

// unpack is the reverse of pack. It allocates at most unpackBytes.
func (p *packer) unpack(z []byte) (data, body []byte, err error) {
	p.start()
	plain, err := p.dec.DecodeAll(z, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("unpack a row: %w", err)
	}
	dataLen, rest, ok := cutLength(plain)
	bodyLen, rest, ok2 := cutLength(rest)
	if !ok || !ok2 || max(dataLen, 0)+max(bodyLen, 0) != len(rest) {
		return nil, nil, fmt.Errorf("unpack a row: %w", errItem)
	}
	data, rest = cut(rest, dataLen)
	body, _ = cut(rest, bodyLen)
	return data, body, nil
}

func appendLength(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendUvarint(dst, 0)
	}
	return binary.AppendUvarint(dst, uint64(len(b))+1)
}

// cutLength cuts a length off the front of b; −1 stands for nil.
func cutLength(b []byte) (length int, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > unpackBytes {
		return 0, nil, false
	}
	return int(n) - 1, b[size:], true
}

// cut cuts length bytes off the front of b, or returns nil for −1. Appending to part does not overwrite rest.
func cut(b []byte, length int) (part, rest []byte) {
	if length < 0 {
		return nil, b
	}
	return b[:length:length], b[length:]
}
