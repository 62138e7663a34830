// The script of a pack that is shown as a page: sends the bytes of its blocks to the viewer. See pixel_packs for the format.
(function () {
  const STAR = 42, SLASH = 47;
  // Characters that are read at once: a browser frees short texts without collecting all its garbage.
  const SHARE = 8192;
  const comment = document.firstChild, blocks = [];
  const numbers = /"([\d ]+)"/.exec(comment.substringData(0, 100))[1];
  let block = null, length = 0, filling = 0, before = 0;

  function put(code) {
    if (length === block.length) {
      const longer = new Uint16Array(2 * length);
      longer.set(block);
      block = longer;
    }
    block[length++] = code;
  }

  for (let start = 0; start < comment.length; start += SHARE) {
    const text = comment.substringData(start, SHARE);
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (!block) {
        if (before === SLASH && code === STAR) {
          block = new Uint16Array(1 << 17);
          length = 0;
          filling = -1;
        }
        before = code;
      } else if (filling < 0) {
        filling = code - 48;
        before = 0;
      } else if (before === STAR) {
        before = 0;
        if (code === SLASH) {
          blocks.push(block.buffer.slice(0, 2 * length - filling));
          block = null;
        } else {
          put(code < 0x100 ? code - 0x80 : code - 0x100 + 0xd800);
        }
      } else if (code === STAR) {
        before = STAR;
      } else {
        put(code);
      }
    }
  }
  comment.data = '';
  parent.postMessage({ pack: numbers, blocks }, '*', blocks);
})();
