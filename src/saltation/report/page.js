
// One sample at a time, chosen with the slider. Without scripts all of them are shown.
const slider = document.getElementById("slider");
if (slider) {
  const figures = document.querySelectorAll("#samples figure");
  const show = () => {
    figures.forEach((figure, number) => { figure.hidden = number !== Number(slider.value); });
    document.getElementById("shown").textContent = `${Number(slider.value) + 1} of ${figures.length}`;
  };
  slider.closest(".slider").hidden = false;
  slider.addEventListener("input", show);
  show();
}
