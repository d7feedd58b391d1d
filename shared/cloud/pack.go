package cloud

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"ringback/shared/storage"
)

// dictionary is what rows of events have in common: the coder refers to it instead of writing
// it into each row, which brings most events of 1 KiB under one write unit. It must never
// change, since rows were packed with it; a better one gets an id of its own, beside this.
//
//go:embed dictionary
var dictionary []byte

const dictionaryID = 1

// A packer compresses Data and Body of a row together, as zstd (RFC 8878) with dictionary, of
//
//	uvarint: bytes of Data plus one, or zero for nil
//	uvarint: the same for Body
//	Data, Body
//
// It is safe for concurrent use; the zero value is ready. The coder is made at first use: a callback's ack needs none.
type packer struct {
	once sync.Once
	enc  *zstd.Encoder
	dec  *zstd.Decoder
}

// Bounds of the coder: two rows at once, since a function has at most two
// cores' worth of work to do, and no frame may unpack to more than a row.
const (
	packAtOnce  = 2
	unpackBytes = storage.MaxRowBytes + 2*binary.MaxVarintLen32
)

// start makes the coder. The options are constants that zstd takes, so that it cannot fail.
func (p *packer) start() {
	p.once.Do(func() {
		p.enc, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderDictRaw(dictionaryID, dictionary),
			zstd.WithEncoderConcurrency(packAtOnce), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(512<<10))
		p.dec, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(packAtOnce), zstd.WithDecoderDictRaw(dictionaryID, dictionary),
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

// cutLength takes a length off b; −1 stands for nil.
func cutLength(b []byte) (length int, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > unpackBytes {
		return 0, nil, false
	}
	return int(n) - 1, b[size:], true
}

// cut takes length bytes off b; nil for −1. What it returns can be appended to without harm to the rest.
func cut(b []byte, length int) (part, rest []byte) {
	if length < 0 {
		return nil, b
	}
	return b[:length:length], b[length:]
}
