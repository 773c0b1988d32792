(function () {
  "use strict";
  var root = document.documentElement;
  var button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", function () {
    var dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : window.matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  function clock(seconds) {
    var tenths = Math.floor(seconds * 10);
    var minutes = Math.floor(tenths / 600);
    var rest = ((tenths % 600) / 10).toFixed(1);
    return minutes + ":" + (rest.length < 4 ? "0" : "") + rest;
  }
  document.querySelectorAll(".plots[data-seconds]").forEach(function (plots) {
    var area = plots.querySelector(".bands");
    var cursor = document.createElement("div");
    var label = document.createElement("span");
    cursor.className = "cursor";
    cursor.hidden = true;
    cursor.appendChild(label);
    plots.appendChild(cursor);
    plots.addEventListener("pointermove", function (event) {
      var box = area.getBoundingClientRect();
      var share = (event.clientX - box.left) / box.width;
      cursor.hidden = share < 0 || share > 1;
      cursor.style.left = area.offsetLeft + share * box.width + "px";
      label.textContent = clock(share * plots.dataset.seconds);
    });
    plots.addEventListener("pointerleave", function () {
      cursor.hidden = true;
    });
  });
})();
