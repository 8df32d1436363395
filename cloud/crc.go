package cloud

import (
	"hash"
	"hash/crc64"
)

// NewCRC64 returns CRC-64/NVME, the checksum that S3 and Blob have in common: the polynomial 0xAD93D23594C93659, reflected. S3 writes it in
// base64 of big-endian bytes, Blob of little-endian ones.
//
// The check value of "123456789" is ae8b14860a799888.
func NewCRC64() hash.Hash64 { return crc64.New(crc64.MakeTable(crc64NVME)) }

const crc64NVME = 0x9a6c9329ac4bc9b5
