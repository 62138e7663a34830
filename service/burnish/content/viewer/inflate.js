// Raw deflate (RFC 1951) for workers. DecompressionStream takes as long, and leaves much to the garbage collector.

// Returns a function that inflates `source` into `target`, which it fills; otherwise it throws.
function makeInflater() {
  const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
  const DISTANCES = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577];
  const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
  const literalTable = new Uint16Array(1 << 15), distanceTable = new Uint16Array(1 << 15), lengths = new Uint8Array(320);
  let source, at, held, bits;

  const need = number => { while (bits < number) { held |= source[at++] << bits; bits += 8; } };
  const drop = number => { held >>>= number; bits -= number; };
  const take = number => { need(number); const value = held & (1 << number) - 1; drop(number); return value; };
  const symbolOf = (table, longest) => { need(longest); const entry = table[held & (1 << longest) - 1]; drop(entry & 15); return entry >> 4; };

  // Fills the table of a Huffman code: for every sequence of bits, the symbol at its beginning and how many bits that has.
  // Returns the number of bits in such a sequence.
  function fillTable(table, ofSymbols) {
    const counts = new Uint16Array(16), codes = new Uint16Array(16);
    for (const length of ofSymbols) counts[length]++;
    counts[0] = 0;
    let longest = 15;
    while (longest > 1 && !counts[longest]) longest--;
    for (let length = 1; length <= longest; length++) codes[length] = codes[length - 1] + counts[length - 1] << 1;
    const size = 1 << longest;
    table.fill(0, 0, size);
    for (let symbol = 0; symbol < ofSymbols.length; symbol++) {
      const length = ofSymbols[symbol];
      if (!length) continue;
      let code = codes[length]++, reversed = 0;
      for (let bit = 0; bit < length; bit++, code >>= 1) reversed = reversed << 1 | code & 1;
      for (let place = reversed; place < size; place += 1 << length) table[place] = symbol << 4 | length;
    }
    return longest;
  }

  // The lengths of the codes of a block; returns the number of literals, and of all symbols.
  function readLengths(isFixed) {
    if (isFixed) {
      lengths.fill(8, 0, 144).fill(9, 144, 256).fill(7, 256, 280).fill(8, 280, 288).fill(5, 288, 318);
      return [288, 318];
    }
    const literals = take(5) + 257, all = literals + take(5) + 1, given = take(4) + 4, ofLengths = new Uint8Array(19);
    for (let index = 0; index < given; index++) ofLengths[ORDER[index]] = take(3);
    const longest = fillTable(literalTable, ofLengths);
    for (let index = 0; index < all;) {
      const symbol = symbolOf(literalTable, longest);
      const value = symbol < 16 ? symbol : symbol === 16 && index ? lengths[index - 1] : 0;
      const times = symbol < 16 ? 1 : symbol === 16 ? take(2) + 3 : symbol === 17 ? take(3) + 3 : take(7) + 11;
      lengths.fill(value, index, index + times);
      index += times;
    }
    return [literals, all];
  }

  function inflateCodes(target, start, isFixed) {
    const [literals, all] = readLengths(isFixed);
    const longest = fillTable(literalTable, lengths.subarray(0, literals)), mask = (1 << longest) - 1;
    const longestDistance = fillTable(distanceTable, lengths.subarray(literals, all));
    let filled = start;
    for (;;) {
      while (bits < 16) { held |= source[at++] << bits; bits += 8; }
      const entry = literalTable[held & mask], symbol = entry >> 4;
      held >>>= entry & 15;
      bits -= entry & 15;
      if (filled > target.length) throw new Error('too long');
      if (symbol < 256) { target[filled++] = symbol; continue; }
      if (symbol === 256) return filled;
      const place = symbol - 257;
      if (place > 28) throw new Error('no length');
      const length = LENGTHS[place] + (place > 7 && place < 28 ? take((place >> 2) - 1) : 0);
      const code = symbolOf(distanceTable, longestDistance);
      if (code > 29) throw new Error('no distance');
      const distance = DISTANCES[code] + (code > 3 ? take((code >> 1) - 1) : 0);
      if (distance > filled) throw new Error('no distance');
      if (distance === 1) target.fill(target[filled - 1], filled, filled + length);
      else for (let end = Math.min(filled + length, target.length), to = filled; to < end; to++) target[to] = target[to - distance];
      filled += length;
    }
  }

  function inflateStored(target, start) {
    drop(bits & 7);
    const length = take(16);
    take(16);
    if (start + length > target.length) throw new Error('too long');
    for (let index = 0; index < length; index++) target[start + index] = take(8);
    return start + length;
  }

  return (packed, target) => {
    source = packed;
    at = held = bits = 0;
    let filled = 0, isLast = false;
    while (!isLast) {
      if (at > source.length + 4) throw new Error('too short');
      isLast = take(1) === 1;
      const kind = take(2);
      if (kind === 3) throw new Error('no block');
      filled = kind ? inflateCodes(target, filled, kind === 1) : inflateStored(target, filled);
    }
    if (filled !== target.length) throw new Error('wrong length');
  };
}
