/** What all plain sockets of the process are read into; its bytes are only valid during the call that brings them. */

export const READ_BUFFER_BYTES = 64 * 1024
export const readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)

/** The same bytes, to be read four at a time, wherever they begin. */
export const readBufferView = new DataView(readBuffer.buffer, readBuffer.byteOffset, readBuffer.length)
