package dns

import (
	"encoding/binary"
	"math/bits"
)

// sipHash is SipHash-2-4 (Aumasson and Bernstein, 2012), a hash of short messages that cannot be forged without the
// key.
func sipHash(key *[16]byte, message []byte) uint64 {
	k0, k1 := binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])
	h := sipState{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	last := uint64(len(message)) << 56
	for ; len(message) >= 8; message = message[8:] {
		h.add(binary.LittleEndian.Uint64(message))
	}
	for i, c := range message {
		last |= uint64(c) << (8 * i)
	}
	h.add(last)
	h[2] ^= 0xff
	for range 4 {
		h.round()
	}
	return h[0] ^ h[1] ^ h[2] ^ h[3]
}

type sipState [4]uint64

func (h *sipState) add(word uint64) {
	h[3] ^= word
	h.round()
	h.round()
	h[0] ^= word
}

func (h *sipState) round() {
	h[0] += h[1]
	h[2] += h[3]
	h[1] = bits.RotateLeft64(h[1], 13) ^ h[0]
	h[3] = bits.RotateLeft64(h[3], 16) ^ h[2]
	h[0] = bits.RotateLeft64(h[0], 32)
	h[2] += h[1]
	h[0] += h[3]
	h[1] = bits.RotateLeft64(h[1], 17) ^ h[2]
	h[3] = bits.RotateLeft64(h[3], 21) ^ h[0]
	h[2] = bits.RotateLeft64(h[2], 32)
}
