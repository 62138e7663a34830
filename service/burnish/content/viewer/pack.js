// The script of a pack that is shown as a page: sends the bytes of its blocks to the viewer. See pixel_packs for the format.
(function () {
  const STAR = 42, SLASH = 47;
  // Characters that are read at once: a browser frees short texts without collecting all its garbage.
  const SHARE = 8192;
  const comments = [...document.head.childNodes].filter(node => node.nodeType === Node.COMMENT_NODE), blocks = [];
  // The block that is being read; its memory is used for all of them.
  let block = new Uint16Array(1 << 17), isInBlock = false;
  const numbers = /"([\d ]+)"/.exec(comments[0].substringData(0, 100))[1];
  let length = 0, filling = 0, before = 0;

  // Gives up the memory of an array buffer: that of a page which is gone waits for the garbage collector.
  function freeMemory(buffer) { if (buffer.transfer) buffer.transfer(0); }

  function put(code) {
    if (length === block.length) {
      const longer = new Uint16Array(2 * length);
      longer.set(block);
      freeMemory(block.buffer);
      block = longer;
    }
    block[length++] = code;
  }

  for (const comment of comments) {
    for (let start = 0; start < comment.length; start += SHARE) {
      const text = comment.substringData(start, SHARE);
      for (let index = 0; index < text.length; index++) {
        const code = text.charCodeAt(index);
        if (!isInBlock) {
          if (before === SLASH && code === STAR) {
            isInBlock = true;
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
            isInBlock = false;
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
  }
  freeMemory(block.buffer);
  parent.postMessage({ pack: numbers, blocks }, '*', blocks);
})();
