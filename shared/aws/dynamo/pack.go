package dynamo

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdMagic begins every zstd frame. JSON never begins with it, so stored bytes show whether they are compressed.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// unpackLimit holds the largest unpacked attribute in bytes: far above every accepted payload or result, far below a function's memory.
const unpackLimit = 8 << 20

var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<18), zstd.WithEncoderCRC(false),
		zstd.WithAllLitEntropyCompression(true)) // else text without repetitions, such as base64, stays as large as it is
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(unpackLimit))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
})

// pack compresses JSON text where that makes it smaller. A write unit is 1 KB, and most payloads fit one when compressed.
func pack(text []byte) []byte {
	if small := encoder().EncodeAll(text, nil); len(small) < len(text) {
		return small
	}
	return text
}

// unpack returns the text that was packed.
func unpack(stored []byte) ([]byte, error) {
	if !bytes.HasPrefix(stored, zstdMagic) {
		return stored, nil
	}
	text, err := decoder().DecodeAll(stored, nil)
	if err != nil {
		return nil, fmt.Errorf("unpacking %d bytes, %w", len(stored), err)
	}
	return text, nil
}

// unpackWithin returns the bytes that were packed, if they are no more than most. It unpacks nothing that says it is larger.
func unpackWithin(stored []byte, most int) ([]byte, error) {
	var header zstd.Header
	if bytes.HasPrefix(stored, zstdMagic) && header.Decode(stored) == nil && header.FrameContentSize > uint64(most) {
		return nil, fmt.Errorf("unpacking %d bytes: they have %d, more than %d", len(stored), header.FrameContentSize, most)
	}
	content, err := unpack(stored)
	if err == nil && len(content) > most {
		err = fmt.Errorf("unpacking %d bytes: they have more than %d", len(stored), most)
	}
	return content, err
}
