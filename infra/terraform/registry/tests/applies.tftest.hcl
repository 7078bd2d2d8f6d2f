# Where the image goes.
mock_provider "aws" {
  source = "../mocks"
}

run "defaults" {
  assert {
    condition     = aws_ecr_repository.agent.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.agent.image_scanning_configuration[0].scan_on_push
    error_message = "A tag could come to stand for another image, or images are not scanned."
  }
}
